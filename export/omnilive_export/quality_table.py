"""The quality table of a trained pack: the benchmark of a checkout, run on the pack being built.

It fits the pack's cut threshold first, as the benchmark needs it. It never judges the figures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from omnilive.engine.manifest import Manifest, PartialManifest
from omnilive.errors import BuildError, ConfigError, SetupError

QUALITY_NAME = "quality.json"
"""The table in a pack, beside its manifest."""

CHECKOUT = Path(__file__).resolve().parents[2]
BENCHMARK = CHECKOUT / "benchmarks" / "quality.py"


def check_quality(backend: str) -> None:
    """Refuse early what could not be measured.

    Raises:
        SetupError: not a checkout, so there is no benchmark.
        ConfigError: a backend whose engines may not run here.
    """
    if not BENCHMARK.is_file():
        raise SetupError(
            "the quality benchmark is not there",
            where=str(BENCHMARK),
            mend="Build from a checkout of the repository, or without --quality.",
        )
    if backend != "ort":
        raise ConfigError(
            f"engines of {backend} are not measured at the build",
            where="--quality",
            mend="Run benchmarks/quality.py on the finished pack.",
        )


def add_quality(folder: Path, manifest: PartialManifest, stage: Callable[[str], None]) -> None:
    """Write ``calibration.json`` and ``quality.json`` into the pack in ``folder``.

    Args:
        folder: a whole pack that can be opened.
        manifest: of it.
        stage: told each step before it begins.

    Raises:
        ConfigError: a partial pack, or one of untrained weights, whose figures would be noise.
        BuildError: one of the two programs failed.
    """
    if not isinstance(manifest, Manifest) or not manifest.trained:
        raise ConfigError(
            "only a whole pack of trained weights has a quality to measure",
            where="--quality",
            mend="Leave it out.",
        )
    stage("calibration of the cuts")
    _run(["-m", "omnilive_micropack.calibrate", "--pack", str(folder)])
    stage("quality of the answers (minutes)")
    with tempfile.TemporaryDirectory(prefix="omnilive-quality-") as aside:
        # The benchmark keeps its journal beside what it writes: that is not for the pack.
        table = Path(aside) / QUALITY_NAME
        _run([str(BENCHMARK), "--quick", "--pack", str(folder), "--json", str(table)])
        (folder / QUALITY_NAME).write_bytes(table.read_bytes())


def _run(arguments: Sequence[str]) -> None:
    paths = [str(CHECKOUT / "runtime"), str(CHECKOUT / "export"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BuildError(
            f"the quality could not be measured ({last})",
            where=arguments[0],
            mend="Mend that, or build without --quality.",
        )
