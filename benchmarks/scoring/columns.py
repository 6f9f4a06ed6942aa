"""Which variants a run compares: packs, and the first one with other presets and without parts.

It opens packs and, if asked, builds them; it measures nothing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnilive.config import RuntimeConfig, load_config
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import BuildError, ConfigError
from omnilive_export import cli as exporter
from omnilive_export.precision import FP32, INT4, PRECISIONS
from omnilive_micropack import calibrate
from scoring.variants import (
    ABLATION,
    ABLATIONS,
    PACK,
    PRESET,
    SEPARATOR,
    Variant,
    ablate,
)


@dataclass(frozen=True)
class Wanted:
    """What is to be compared.

    Attributes:
        presets: the first is every pack's; the judged pack is scored with the others too.
        ablations: each a set of parts that are taken away together.
        threads: per engine; with more than one the last digits may depend on it.
    """

    packs: tuple[Path, ...]
    presets: tuple[str, ...]
    ablations: tuple[frozenset[str], ...]
    threads: int = 1


def parse_ablations(texts: Sequence[str]) -> tuple[frozenset[str], ...]:
    """``frames``, ``memory,audio`` (one after the other), ``frames+memory`` (together).

    Raises:
        ConfigError: something else.
    """
    found = []
    for name in (name for text in texts for name in text.split(",")):
        parts = frozenset(name.split(SEPARATOR))
        if not parts <= set(ABLATIONS):
            raise ConfigError(
                f"is {name!r}",
                where="--ablate",
                mend=f"Use {', '.join(ABLATIONS)}, joined by {SEPARATOR} to go together.",
            )
        found.append(parts)
    return tuple(dict.fromkeys(found))


@contextlib.contextmanager
def opened(wanted: Wanted) -> Iterator[list[Variant]]:
    """The variants, the judged one first: the first int4 pack, or else the first pack.

    Raises:
        OmniLiveError: a pack or preset that cannot be used.
    """
    configs = {preset: load_config(preset) for preset in wanted.presets}
    main = wanted.presets[0]
    with contextlib.ExitStack() as stack:
        packs: list[EnginePack] = []
        for path in wanted.packs:
            pack = open_pack(path, threads=wanted.threads, config=configs[main].engine)
            packs.append(stack.enter_context(contextlib.closing(pack)))
        packs.sort(key=lambda pack: pack.manifest.precision != INT4)
        yield variants_of(packs, configs, main, wanted.ablations)


def variants_of(
    packs: Sequence[EnginePack],
    configs: dict[str, RuntimeConfig],
    main: str,
    ablations: Sequence[frozenset[str]],
) -> list[Variant]:
    """Every pack with the ``main`` preset, then the first pack changed in one way at a time."""
    first = packs[0]
    labels = _labels(packs)
    found = [
        Variant(label, PACK, pack, main, configs[main])
        for label, pack in zip(labels, packs, strict=True)
    ]
    for preset, config in configs.items():
        if preset != main:
            found.append(Variant(f"{labels[0]} {preset}", PRESET, first, preset, config))
    for ablated in ablations:
        names = SEPARATOR.join(name for name in ABLATIONS if name in ablated)
        label = f"{labels[0]} without {names}"
        config = ablate(configs[main], ablated)
        found.append(Variant(label, ABLATION, first, main, config, ablated))
    return found


def reference_of(variants: Sequence[Variant]) -> Variant | None:
    """The fp32 pack that quantized ones are compared with, unless it is itself judged."""
    others = (v for v in variants[1:] if v.role == PACK)
    return next((v for v in others if v.pack.manifest.precision == FP32), None)


def build_precisions(checkpoint: Path, precisions: Sequence[str], folder: Path) -> list[Path]:
    """A calibrated pack of a checkpoint for each precision, in ``folder``.

    Raises:
        ConfigError: no such precision.
        BuildError: it could not be built or calibrated.
    """
    found = []
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ConfigError(
                f"is {precision!r}", where="--precisions", mend=f"Use {', '.join(PRECISIONS)}."
            )
        out = folder / precision
        build = ["--checkpoint", str(checkpoint), "--out", str(out), "--precision", precision]
        with contextlib.redirect_stdout(sys.stderr):
            failed = exporter.main(build) or calibrate.main(["--pack", str(out)])
        if failed:
            raise BuildError(
                f"gave no {precision} pack", where=str(checkpoint), mend="See the message above."
            )
        found.append(out)
    return found


def _labels(packs: Sequence[EnginePack]) -> list[str]:
    """The precision of each pack, with its folder's name where that is not enough."""
    precisions = [pack.manifest.precision for pack in packs]
    if len(set(precisions)) == len(precisions):
        return precisions
    return [
        f"{precision} {pack.path.name} {i + 1}"
        for i, (precision, pack) in enumerate(zip(precisions, packs, strict=True))
    ]
