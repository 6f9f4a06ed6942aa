"""How engines are loaded on this machine. Data only: it never opens an engine."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.errors import ConfigError
from omnilive.limits import check_choice, check_range

MAX_THREADS = 256
CPU, CUDA = "cpu", "cuda"
DEVICES = (CPU, CUDA)
KEEP_ALIVE_MS = (5, 10_000)
LONGEST_KEEP_ALIVE_MS = 3_600_000


@dataclass(frozen=True)
class EngineConfig:
    """Session settings shared by every engine of a pack.

    All of them are per engine: each engine owns its thread pool and its allocator.
    """

    threads: int = 0
    """Threads of one engine's intra-op pool; 0: in real time as many as are measured to add work
    when the run starts, else the physical cores."""

    affinity: str = ""
    """Cores of the pool's threads but the first, as onnxruntime writes them: ``2;3`` for three
    threads, counted from 1. Empty: wherever the system puts them."""

    spinning: bool = False
    """Whether idle pool threads burn their core while they wait for the next kernel.

    Off: the lanes share the cores, and a spinning reasoner would starve perception.
    """

    memory_arena: bool = True
    """Whether an engine keeps its activation memory between runs instead of giving it back."""

    memory_pattern: bool = False
    """Whether the backend plans activation memory once per distinct input shape.

    Off: prompts and clips come in ever new lengths, and the plans kept for them have no limit.
    """

    device: str = "cpu"
    """Where engines of ``ort`` packs run: ``cpu``, or ``cuda`` on the first NVIDIA GPU, which takes
    onnxruntime-gpu and a pack built with ``--device cuda``. TensorRT's always run on the GPU."""

    keep_alive_ms: int = 0
    """Milliseconds without work after which a GPU is given a little, so that it does not lower its
    clocks between frames; 0: never. It costs power: where the clocks can be locked, lock them."""

    keep_alive_limit_ms: int = 10_000
    """Milliseconds after the last engine's run for which the GPU is kept so; then the source is
    taken to be paused, and the GPU may rest until the next run."""

    def validate(self) -> None:
        """Check ranges. Raises ConfigError naming the field."""
        check_choice("engine.device", self.device, DEVICES)
        if self.keep_alive_ms:
            check_range(
                "engine.keep_alive_ms", self.keep_alive_ms, *KEEP_ALIVE_MS, "milliseconds, or 0"
            )
        check_range(
            "engine.keep_alive_limit_ms",
            self.keep_alive_limit_ms,
            0,
            LONGEST_KEEP_ALIVE_MS,
            "milliseconds",
        )
        if not 0 <= self.threads <= MAX_THREADS:
            raise ConfigError(
                f"{self.threads} threads",
                where="engine.threads",
                mend=f"Give 0 (all cores) to {MAX_THREADS}.",
            )
