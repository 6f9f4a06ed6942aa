"""What a pack will hold, before a byte of it is written: the plan's own data types.

Data only; ``plan.py`` makes it and ``writing.py`` carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from omnilive.engine.manifest import AudioSpec, MemorySpec, ReasonerSpec
from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.tables import PlannedTable


@dataclass(frozen=True)
class PlannedEngine:
    """One graph and the formats of its groups of weights."""

    graph: PlannedGraph
    precision: Mapping[str, str]


@dataclass(frozen=True)
class PlannedPart:
    """What one model of a checkpoint brings to a pack.

    Attributes:
        engines, tables: in the order they are written.
        bpe: tokenizer name → folder of its vocab.json.
        sentencepiece: tokenizer name → its model file.
        ready_made: tokenizer name → its tokenizer.json.
        sources: every checkpoint file this part depends on.
        trained: False when the model holds seeded random weights.
    """

    engines: tuple[PlannedEngine, ...]
    tables: tuple[PlannedTable, ...]
    sources: tuple[Path, ...]
    trained: bool
    bpe: Mapping[str, Path] = field(default_factory=dict)
    sentencepiece: Mapping[str, Path] = field(default_factory=dict)
    ready_made: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class PackPlan(PlannedPart):
    """Everything a pack will hold: all of its parts together.

    Attributes:
        memory, audio, reasoner: dimensions of the family's models; None for one that the
            checkpoint does not have, which makes the pack a partial one.
        swapped: files of folders that took the place of parts of the checkpoint, by their names
            in the manifest's ``source``.
    """

    memory: MemorySpec | None = None
    audio: AudioSpec | None = None
    reasoner: ReasonerSpec | None = None
    swapped: Mapping[str, Path] = field(default_factory=dict)

    def named_sources(self, root: Path) -> dict[str, Path]:
        """Every file the pack is made from, by its name in the manifest: its path under ``root``.

        Args:
            root: of the checkpoint.
        """
        own = {path.relative_to(root).as_posix(): path for path in self.sources}
        return {**own, **self.swapped}

    @property
    def cost(self) -> int:
        """Values that will be read."""
        return sum(e.graph.cost for e in self.engines) + sum(t.cost for t in self.tables)

    @property
    def nbytes(self) -> int:
        """Bytes of weights and tables that will be written."""
        return sum(e.graph.nbytes for e in self.engines) + sum(t.nbytes for t in self.tables)
