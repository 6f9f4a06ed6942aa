"""A group of measures that counts its calls, and variants without engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

from omnilive.config import load_config
from omnilive.engine.manifest import FileRecord
from scoring.result import Item, Tallies, baseline_of, right
from scoring.variants import PACK, Variant

ITEMS = 1_000


def variant(precision: str, *, sha256: str = "", role: str = PACK, preset: str = "edge") -> Variant:
    manifest = SimpleNamespace(
        name="fake",
        precision=precision,
        trained=True,
        all_files=lambda: (FileRecord("model.onnx", 1, sha256 or precision),),
    )
    pack = SimpleNamespace(manifest=manifest, calibration={}, path=Path(precision))
    label = precision if preset == "edge" else f"{precision} {preset}"
    return Variant(label, role, pack, preset, load_config(preset))  # type: ignore[arg-type]


class Sounds:
    """Scores ``sound_class`` only: so many right of 1000 for each label, in two parts."""

    name = "hearing"
    parts = 2

    def __init__(
        self,
        hits: dict[str, int],
        *,
        identity: str = "sounds 0",
        before: Callable[[int, Variant], None] = lambda part, variant: None,
    ) -> None:
        self.identity = identity
        self.measured: list[tuple[int, str]] = []
        self._hits = hits
        self._before = before

    def measures(self) -> tuple[str, ...]:
        return ("sound_class",)

    def seconds(self, part: int) -> float:
        return 1.0

    def wanted(self, variant: Variant) -> bool:
        return variant.label in self._hits

    def score(
        self, part: int, variants: Sequence[Variant], folder: Path
    ) -> Iterator[tuple[Variant, Tallies]]:
        half = ITEMS // 2
        for one in variants:
            self._before(part, one)
            self.measured.append((part, one.label))
            items: list[Item] = [
                right(f"{part}.{i}", part * half + i < self._hits[one.label]) for i in range(half)
            ]
            chance = [Item(item.key, 0.1) for item in items]
            yield one, {"sound_class": items, baseline_of("sound_class"): chance}
