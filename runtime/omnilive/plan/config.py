"""What a run may take of the machine. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.limits import check_range
from omnilive.plan.sizes import parse_bytes


@dataclass(frozen=True)
class MemoryBudgetConfig:
    """The memory a run may take; it does not start when its plan needs more."""

    host: str = ""
    """Most host memory of the process with its unit, as in ``6GiB``; empty takes what is free
    when it starts."""

    device: str = ""
    """Most memory of a device of its own (a discrete GPU), written likewise; empty takes what is
    free there."""

    gflops: float = 0.0
    """Arithmetic rate from which prefill seconds are predicted, 1e9 floating point operations
    per second; 0 measures it at the start."""

    def validate(self) -> None:
        """Raises ConfigError for a value that is no size or outside its range."""
        for name in ("host", "device"):
            if getattr(self, name):
                parse_bytes(getattr(self, name), where=f"memory_budget.{name}")
        check_range("memory_budget.gflops", self.gflops, 0, 1e9, "GFLOPS")
