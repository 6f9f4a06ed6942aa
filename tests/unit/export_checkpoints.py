"""Micro checkpoints for the exporter's tests: written once, copied and bent per test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from omnilive_export.plan import plan_pack
from omnilive_export.planned import PackPlan
from omnilive_export.precision import pack_precision
from omnilive_export.reading.checkpoint import find_folders
from omnilive_micropack.checkpoint import write_checkpoint
from omnilive_micropack.dimensions import MICRO

Change = Callable[[dict[str, Any]], None]


@cache
def micro_checkpoint() -> Path:
    """A micro checkpoint; not to be changed."""
    folder = Path(mkdtemp(prefix="export-checkpoint-")) / "micro"
    write_checkpoint(folder, MICRO, seed=0)
    return folder


def checkpoint_with(folder: Path, file: str, change: Change) -> Path:
    """A copy of the micro checkpoint in ``folder`` whose JSON ``file`` went through ``change``."""
    copy = folder / "bent"
    shutil.copytree(micro_checkpoint(), copy)
    values = json.loads((copy / file).read_text())
    change(values)
    (copy / file).write_text(json.dumps(values))
    return copy


def plan(checkpoint: Path, stack: ExitStack, precision: str = "fp32") -> PackPlan:
    """The plan of a checkpoint, whose files stay open as long as ``stack``."""
    return plan_pack(find_folders(checkpoint), pack_precision(precision, block=32), stack)
