"""Fixtures of the tiny layer: one seeded miniature checkpoint, and a pack of it per precision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from omnilive.engine.pack import EnginePack, open_pack
from omnilive_export.cli import main as build_engines
from omnilive_export.verify.reference import References, load_references
from omnilive_export.verify.run import run
from omnilive_micropack.checkpoint import write_checkpoint
from omnilive_micropack.dimensions import MICRO

Records = dict[str, dict[str, Any]]


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    """The sums of the reference are small, and the cores are shared."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def references() -> References:
    """The reference modules."""
    return load_references()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature checkpoint with seeded random weights."""
    folder = tmp_path_factory.mktemp("checkpoint") / "micro"
    write_checkpoint(folder, MICRO, seed=0)
    return folder


def build(checkpoint: Path, out: Path, *options: str) -> Path:
    """Build a pack as a user does."""
    assert build_engines(["--checkpoint", str(checkpoint), "--out", str(out), *options]) == 0
    return out


@pytest.fixture(scope="session")
def fp32_pack(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnginePack]:
    """The fp32 pack, built with ``--verify``; kept even if inaccurate, so that tests say where."""
    out = tmp_path_factory.mktemp("packs") / "micro-fp32"
    build(checkpoint, out, "--precision", "fp32", "--verify", "--allow-inaccurate")
    pack = open_pack(out, threads=1, allow_inaccurate=True)
    yield pack
    pack.close()


@pytest.fixture(scope="session")
def fp32_records(fp32_pack: EnginePack) -> Records:
    """Accuracy records that ``--verify`` wrote into the manifest of the fp32 pack."""
    return {name: dict(e.accuracy or {}) for name, e in fp32_pack.manifest.engines.items()}


@pytest.fixture(scope="session")
def quantized_records(
    checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Records]:
    """Accuracy records of the int8 and int4 packs, keyed by precision."""
    folder = tmp_path_factory.mktemp("quantized")
    return {
        precision: run(
            build(checkpoint, folder / precision, "--precision", precision),
            checkpoint,
            lambda _: None,
        )
        for precision in ("int8", "int4")
    }
