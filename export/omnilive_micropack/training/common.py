"""What every training stage shares: seeds, schedule, checkpoints that survive a kill, progress.

It knows no model and no data.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from omnilive.errors import BuildError
from omnilive_micropack.layout import TensorSpec

READABLE = 0o644
"""Mode of written weights; safetensors makes them private."""


def prepare(seed: int, threads: int) -> None:
    """Seed every generator and make torch deterministic with ``threads`` threads."""
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False


def compute_dtype() -> torch.dtype:
    """bfloat16 where the processor multiplies it faster than float32, else float32."""
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def cosine_rate(step: int, steps: int, warm_up: int, peak: float) -> float:
    """Learning rate: a linear rise over ``warm_up`` steps, then half a cosine down to zero."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    part = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return peak * 0.5 * (1 + math.cos(math.pi * part))


def cycled_rate(step: int, cycles: Sequence[tuple[int, float]], warm_up: int) -> float:
    """Learning rate of several cosines in a row, each of so many steps from its own peak.

    Beyond the last one the rate is 0.
    """
    for steps, peak in cycles:
        if step < steps:
            return cosine_rate(step, steps, warm_up, peak)
        step -= steps
    return 0.0


def initialize(model: nn.Module, seed: int) -> None:
    """Start values: matrices N(0, 1/inputs), norms 1, biases 0; what is frozen is left alone."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not value.requires_grad:
                continue
            if value.dim() == 1:
                value.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
            else:
                std = 1.0 / math.sqrt(math.prod(value.shape[1:]))
                value.normal_(0.0, std, generator=generator)


@dataclass
class Progress:
    """Where a stage stands.

    Attributes:
        step: steps done.
        seconds: wall time they took, over all runs.
        curve: what was measured on the way.
        runs: the step at which each run began or went on, and its plan.
    """

    step: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)


class Saver:
    """Keeps the state of a stage in one file, so that a killed run goes on where it was saved."""

    def __init__(self, path: Path, every_s: float) -> None:
        """``path`` is written at most every ``every_s`` seconds, beside itself first."""
        self._path = path
        self._every_s = every_s
        self._saved_at = time.monotonic()

    def load(self, parts: Mapping[str, Any]) -> Progress:
        """Restore every part's ``state_dict`` and return where it stood; from 0 without a file."""
        if not self._path.exists():
            return Progress()
        state = torch.load(self._path, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        return Progress(**state["progress"])

    def save(self, parts: Mapping[str, Any], progress: Progress, *, now: bool = False) -> None:
        """Write the state when it is time, or ``now``."""
        if not now and time.monotonic() - self._saved_at < self._every_s:
            return
        part_file = self._path.with_name(self._path.name + ".part")
        part_file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(
            {
                "parts": {name: part.state_dict() for name, part in parts.items()},
                "progress": vars(progress),
            },
            part_file,
        )
        part_file.replace(self._path)
        self._saved_at = time.monotonic()


class Bar:
    """A line of progress on stderr: redrawn on a terminal, one line now and then in a log."""

    WIDTH = 24

    def __init__(self, name: str, steps: int, *, every_s: float = 15.0) -> None:
        self._name = name
        self._steps = steps
        self._live = sys.stderr.isatty()
        self._every_s = 0.5 if self._live else every_s
        self._shown_at = 0.0

    def show(self, progress: Progress, note: str, *, now: bool = False) -> None:
        """Draw it, at most every so often unless ``now``."""
        at = time.monotonic()
        if not now and at - self._shown_at < self._every_s:
            return
        self._shown_at = at
        done = round(self.WIDTH * progress.step / self._steps)
        left = progress.seconds / max(1, progress.step) * (self._steps - progress.step)
        line = (
            f"{self._name} [{'#' * done}{'.' * (self.WIDTH - done)}] "
            f"{progress.step}/{self._steps} {progress.seconds:.0f} s, {left:.0f} s left  {note}"
        )
        print(line, end="\r" if self._live and not now else "\n", file=sys.stderr, flush=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], specs: list[TensorSpec]) -> None:
    """Write a trained model as bfloat16 safetensors with exactly the tensors of its layout.

    Raises:
        BuildError: a tensor is missing, unknown or of another shape than the layout says.
    """
    wanted = {spec.name: spec.shape for spec in specs}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted != found:
        odd = sorted(set(wanted.items()) ^ set(found.items()))
        raise BuildError(
            f"does not fit the layout: {odd[:4]}",
            where=str(path),
            mend="Train again with the sizes of dimensions.py.",
        )
    save_file(
        {name: tensors[name].detach().to(torch.bfloat16).contiguous() for name in wanted},
        path,
        metadata={"format": "pt"},
    )
    path.chmod(READABLE)
