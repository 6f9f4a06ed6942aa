"""What the stages see of an engine: plain arrays in, plain arrays out.

What a backend returns may still lie on a device: it behaves as a NumPy array, is copied to the host
when its values are read, and is not copied when another engine is given it. A stage never learns
which backend runs its engine. Implementations live beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from omnilive._native import NativeJob

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


class Engine(Protocol):
    """A stateless engine."""

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run once; keys are the manifest's input and output names."""
        ...


class NativeRun(Protocol):
    """One run of an engine that needs no interpreter."""

    @property
    def job(self) -> NativeJob:
        """Runs it."""
        ...

    def error(self, cause: str) -> Exception:
        """The EngineError to be raised when ``job`` fails for ``cause``."""
        ...

    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """What ``Engine.run`` gives, once ``job`` has run."""
        ...


@runtime_checkable
class NativeEngine(Engine, Protocol):
    """An engine that the native core can run by itself."""

    def native_run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> NativeRun:
        """Prepare to run on ``feeds``, which are read when it runs."""
        ...


class KvArena(Protocol):
    """The KV of one sequence in one decoder: rows [0, length) are valid.

    Truncating and appending again gives exactly what a fresh prefill of the same tokens gives.
    """

    @property
    def capacity(self) -> int:
        """Tokens it can hold."""
        ...

    @property
    def length(self) -> int:
        """Tokens it holds."""
        ...

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` tokens. Raises EngineError when there are fewer."""
        ...


class Decoder(Protocol):
    """An LM engine with its KV outside: one engine, many arenas."""

    @property
    def kv_bytes(self) -> int:
        """KV that its living arenas have written, each as far as it ever reached; any thread."""
        ...

    def new_arena(self, capacity: int | None = None) -> KvArena:
        """An empty arena of ``capacity`` tokens (default and limit: the engine's max positions)."""
        ...

    def hidden(self, arena: KvArena, embeds: F32) -> F32:
        """Append embeds [S, H]; return final-norm hidden states [S, H] (``mem_lm`` only)."""
        ...

    def logits(
        self,
        arena: KvArena,
        embeds: F32,
        *,
        rows: I64 | None = None,
        plora_rows: I64 | None = None,
    ) -> F32:
        """Append embeds [S, H]; return logits [len(rows), V] of those positions of this block.

        ``rows`` defaults to the last position; an empty one only fills the arena. ``plora_rows``
        (``vlm_lm`` only) lists the positions of this block that get Partial-LoRA; none by
        default. Raises EngineError when the arena would overflow.
        """
        ...


class Table(Protocol):
    """An embedding table."""

    def rows(self, ids: npt.ArrayLike) -> F32:
        """Rows [n, width] as float32. Raises EngineError for an id outside the table."""
        ...


class Tokenizer(Protocol):
    """Text to ids and back."""

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Ids of ``text``, no BOS added.

        Without ``allow_special`` the spelling of a control token inside the text is plain text:
        whatever a user says or types cannot end a turn.
        """
        ...

    def decode(self, ids: list[int]) -> str:
        """Text of ``ids``, control tokens left out; incomplete UTF-8 gives U+FFFD."""
        ...

    def id_of(self, piece: str) -> int:
        """Id of one vocabulary piece. Raises PackError when the vocabulary lacks it."""
        ...
