"""A short stream with spoken questions, and runs of the command on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from plain_media import write_noise
from runs import SLOW_TOKEN_US, Refused, Run, Stream, assert_one_clear_line

from omnilive.cli.main import main
from omnilive_micropack.render import render_stream
from omnilive_micropack.speech import SpokenItem
from omnilive_micropack.story import make_world

QUESTION_S = 4.0
BARGE_IN_S = 8.0
"""On a slow device, while the answer to the first question is decoded."""


@pytest.fixture(scope="session")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """20 seconds, at least one cut, two spoken questions: the second interrupts an answer."""
    path = tmp_path_factory.mktemp("stream") / "stream.mp4"
    world = make_world(11, 20.0, scene_seconds=(6.0, 9.0))
    spoken = [
        SpokenItem("What do you see now?", QUESTION_S),
        SpokenItem("Wait, who is in the room?", BARGE_IN_S),
    ]
    return Stream(path, render_stream(path, world, spoken, size=(320, 180), fps=5))


@pytest.fixture(scope="session")
def answer_everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration under which every utterance is answered, whatever random weights say."""
    path = tmp_path_factory.mktemp("config") / "answer-everything.toml"
    path.write_text("[instruction]\nthreshold = 0.0\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def slow_device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration under which every utterance is answered and a token takes SLOW_TOKEN_US."""
    path = tmp_path_factory.mktemp("config") / "slow-device.toml"
    path.write_text(
        f"[instruction]\nthreshold = 0.0\n[virtual_cost]\ndecode_step_us = {SLOW_TOKEN_US}\n",
        encoding="utf-8",
    )
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


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of picture and sound, in which nobody speaks."""
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    write_noise(path, 3)
    return path


@pytest.fixture
def pack_copy(micro_pack: Path, tmp_path: Path) -> Path:
    """The micro pack, to be damaged."""
    return Path(shutil.copytree(micro_pack, tmp_path / "pack"))


@pytest.fixture
def refused(stream: Stream, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run into ``tmp_path / "refused"`` what must be refused, in one clear line."""

    def run_refused(pack: Path, *arguments: str, source: Path | None = None) -> tuple[int, str]:
        code = main(
            [
                *("run", str(source or stream.path), "--pack", str(pack)),
                *("--out", str(tmp_path / "refused"), *arguments),
            ]
        )
        error = capsys.readouterr().err
        assert_one_clear_line(error)
        return code, error

    return run_refused
