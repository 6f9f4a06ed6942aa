"""A short stream with spoken questions, and runs of the command on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from runs import Run, Stream

from omnilive.cli.main import main
from omnilive_micropack.render import render_stream
from omnilive_micropack.scenes import make_script
from omnilive_micropack.speech import SpokenItem

QUESTION_S = 4.0
BARGE_IN_S = 8.0
"""While the answer to the first question is spoken."""


@pytest.fixture(scope="session")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """20 seconds, at least one cut, two spoken questions: the second interrupts an answer."""
    path = tmp_path_factory.mktemp("stream") / "stream.mp4"
    script = make_script(11, 20.0, scene_seconds=(6.0, 9.0))
    spoken = [
        SpokenItem("What do you see now?", QUESTION_S),
        SpokenItem("Wait, who is in the room?", BARGE_IN_S),
    ]
    return Stream(path, render_stream(path, script, spoken, size=(320, 180), fps=5))


@pytest.fixture(scope="session")
def answer_everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration under which every utterance is answered, whatever random weights say."""
    path = tmp_path_factory.mktemp("config") / "answer-everything.toml"
    path.write_text("[instruction]\nthreshold = 0.0\n", encoding="utf-8")
    return path


@pytest.fixture
def run(micro_pack: Path, tmp_path: Path) -> Callable[..., Run]:
    """Run ``omnilive run`` with the micro pack into a new folder; arguments are appended."""
    count = 0

    def run_once(source: Path, *arguments: str) -> Run:
        nonlocal count
        count += 1
        folder = tmp_path / f"run{count}"
        code = main(
            ["run", str(source), "--pack", str(micro_pack), "--out", str(folder), *arguments]
        )
        return Run(code, folder)

    return run_once
