"""``omnilive run`` as a process: it ends with its exit code, and keeps what it wrote.

Nothing here waits for a time to pass: lines of output are awaited, with a limit.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plain_media import write_noise
from runs import Stream, whole_lines

WAIT_S = 120
"""How long a test waits for a process or a thread before it fails."""

CLOCKS = pytest.mark.parametrize("clock", [(), ("--realtime",)], ids=["virtual", "realtime"])

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(micro_pack: Path, tmp_path: Path) -> Iterator[Start]:
    """Start the command in a process of its own; its results go to ``tmp_path / "out"``."""
    started: list[subprocess.Popen[str]] = []

    def start_one(
        source: Path, *arguments: str, before: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests may ignore it
            if before is not None:
                before()

        command = [sys.executable, "-m", "omnilive.cli.main", "run", str(source)]
        started.append(
            subprocess.Popen(
                [*command, "--pack", str(micro_pack), "--out", str(tmp_path / "out"), *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                preexec_fn=prepare,
            )
        )
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """Wait for a line of output that holds ``words``."""
    assert process.stdout is not None
    return next(line for line in process.stdout if words in line)


def test_ctrl_c_ends_a_run_with_its_report_and_whole_logs(
    start: Start, stream: Stream, tmp_path: Path
) -> None:
    process = start(stream.path, "--realtime", "--ask", "What is this?@0.5")
    line_with(process, "asked")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, error
    assert error.strip().splitlines() == ["omnilive: stopped; what was written until then is kept"]
    logged = whole_lines(tmp_path / "out" / "events.jsonl")
    assert [e["id"] for e in logged] == list(range(1, len(logged) + 1))
    assert logged[-1]["type"] != "session_ended"
    whole_lines(tmp_path / "out" / "timings.jsonl")
    assert (tmp_path / "out" / "report.html").is_file()
    with wave.open(str(tmp_path / "out" / "answers.wav")) as sound:
        assert sound.getnframes() > 0


def test_ctrl_c_ends_a_run_whose_source_is_a_pipe_that_stalls(
    start: Start, stream: Stream, tmp_path: Path
) -> None:
    pipe, data = tmp_path / "pipe.mkv", tmp_path / "whole.mkv"
    os.mkfifo(pipe)
    write_noise(data, 20)
    most = data.read_bytes()[: data.stat().st_size * 3 // 4]
    written, release = threading.Event(), threading.Event()

    def write() -> None:
        with pipe.open("wb") as file:
            file.write(most)
            file.flush()
            written.set()
            release.wait(WAIT_S)

    writer = threading.Thread(target=write)
    writer.start()
    process = start(pipe, "--ask", "What is this?@2")
    line_with(process, "asked")
    assert written.wait(WAIT_S)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=WAIT_S)
    release.set()
    writer.join(WAIT_S)
    assert process.returncode == 130, error
    whole_lines(tmp_path / "out" / "events.jsonl")
    assert (tmp_path / "out" / "report.html").is_file()


@CLOCKS
def test_a_refused_configuration_ends_the_process_with_its_code(
    start: Start, short: Path, tmp_path: Path, clock: tuple[str, ...]
) -> None:
    config = tmp_path / "bad.toml"
    config.write_text("[voice]\nenglish_voice = 'nobody'\n", encoding="utf-8")
    process = start(short, *clock, "--config", str(config))
    _, error = process.communicate(timeout=WAIT_S)
    assert process.returncode == 2
    assert len(error.strip().splitlines()) == 1 and "nobody" in error
    assert not (tmp_path / "out" / "events.jsonl").exists()


@CLOCKS
def test_a_disk_that_fills_up_ends_the_run_and_keeps_what_was_written(
    start: Start, stream: Stream, tmp_path: Path, clock: tuple[str, ...]
) -> None:
    limit = 64 * 1024  # two seconds of sound

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = start(stream.path, *clock, "--ask", "What is this?@0.5", before=small_disk)
    assert process.stdout is not None and process.stderr is not None
    assert "stream.mp4" in process.stdout.readline()
    process.stdout.close()  # nobody reads on, which must be no error besides
    error = process.stderr.read()
    assert process.wait(WAIT_S) == 8, error
    (line,) = error.strip().splitlines()
    assert line.startswith("omnilive: ") and "answers.wav" in line and "File too large" in line
    logged = whole_lines(tmp_path / "out" / "events.jsonl")
    assert [e["id"] for e in logged] == list(range(1, len(logged) + 1))
    assert [e for e in logged if e["type"] == "frame_encoded"]
    with wave.open(str(tmp_path / "out" / "answers.wav")) as sound:
        assert 16_000 < sound.getnframes() <= (limit - 44) // 2


def test_a_run_goes_on_when_nobody_reads_its_lines_any_more(
    start: Start, short: Path, tmp_path: Path
) -> None:
    process = start(short, "--realtime")
    assert process.stdout is not None and process.stderr is not None
    assert "short.mp4" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(WAIT_S) == 0
    assert process.stderr.read() == ""
    assert whole_lines(tmp_path / "out" / "events.jsonl")[-1]["type"] == "session_ended"
    assert (tmp_path / "out" / "report.html").is_file()
