"""How runs begin and end: what an earlier run wrote, errors in closing, late questions, limits."""

from __future__ import annotations

import json
import threading
import wave
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from runs import Refused, Run, Stream, assert_one_clear_line, contents, whole_lines

from omnilive.cli import run as command
from omnilive.cli.main import main
from omnilive.engine.manifest import MANIFEST_NAME
from omnilive.errors import OutputError, SourceError
from omnilive.session.session import Session
from omnilive.sources.media import MediaSource, open_media
from omnilive.sources.types import Frame, Pcm, SourceWarning
from omnilive.speech.track import AnswerTrack


def test_a_refused_run_leaves_what_an_earlier_one_wrote(
    refused: Refused, micro_pack: Path, pack_copy: Path, stream: Stream, tmp_path: Path
) -> None:
    folder = tmp_path / "refused"
    code = main(["run", str(stream.path), "--pack", str(micro_pack), "--out", str(folder)])
    before = contents(folder)
    assert code == 0
    assert {"events.jsonl", "timings.jsonl", "answers.wav", "report.html"} <= set(before)
    assert [name for name in before if name.endswith(".jpg")]
    (tmp_path / "voice.toml").write_text("[voice]\nenglish_voice = 'nobody'\n")
    (tmp_path / "quota.toml").write_text("[keyframes]\nquota_bytes = -1\n")
    (tmp_path / "lanes.toml").write_text("[lanes]\nlisten = 0\n")
    manifest = json.loads((pack_copy / MANIFEST_NAME).read_text())
    del manifest["engines"]["vlm_lm"]
    (pack_copy / MANIFEST_NAME).write_text(json.dumps(manifest))
    for pack, arguments in (
        (micro_pack, ("--config", str(tmp_path / "voice.toml"))),
        (micro_pack, ("--config", str(tmp_path / "quota.toml"))),
        (micro_pack, ("--config", str(tmp_path / "lanes.toml"))),
        (micro_pack, ("--ask", "no time")),
        (pack_copy, ()),
    ):
        code, _ = refused(pack, *arguments)
        assert code in (2, 4)
        assert contents(folder) == before


def test_a_log_that_cannot_be_begun_gets_no_report_of_an_earlier_run(
    refused: Refused, micro_pack: Path, stream: Stream, tmp_path: Path
) -> None:
    folder = tmp_path / "refused"
    assert main(["run", str(stream.path), "--pack", str(micro_pack), "--out", str(folder)]) == 0
    (folder / "report.html").unlink()
    (folder / "timings.jsonl").unlink()
    (folder / "timings.jsonl").mkdir()
    before = contents(folder)
    code, error = refused(micro_pack)
    assert code == 8 and "timings.jsonl" in error
    assert contents(folder) == before


class Failing:
    """A source that ends in an error after its first items."""

    def __init__(self, source: MediaSource) -> None:
        self.info = source.info
        self._source = source

    def __iter__(self) -> Iterator[Frame | Pcm | SourceWarning]:
        yield from islice(self._source, 12)
        raise SourceError("broke off", where="the wire", mend="Plug it in.")

    def close(self) -> None:
        self._source.close()


@pytest.mark.parametrize("clock", [(), ("--realtime",)], ids=["virtual", "realtime"])
def test_the_first_error_is_told_and_the_report_written_whatever_fails_in_closing(
    stream: Stream,
    micro_pack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    clock: tuple[str, ...],
) -> None:
    def fail(self: object) -> None:
        raise OutputError("failed later", where="a file", mend="Nothing.")

    monkeypatch.setattr(
        command, "open_media", lambda path, config: Failing(open_media(path, config))
    )
    monkeypatch.setattr(AnswerTrack, "close", fail)
    monkeypatch.setattr(Session, "close", fail)
    arguments = ["run", str(stream.path), "--pack", str(micro_pack), "--out", str(tmp_path), *clock]
    assert main(arguments) == SourceError.exit_code
    error = capsys.readouterr().err
    assert_one_clear_line(error)
    assert "the wire: broke off" in error
    assert (tmp_path / "report.html").is_file()
    logged = whole_lines(tmp_path / "events.jsonl")
    assert [e["id"] for e in logged] == list(range(1, len(logged) + 1))
    assert not [t for t in threading.enumerate() if t.name.startswith(("lane-", "prefetch"))]


def test_an_error_in_closing_alone_is_told_and_the_report_is_written(
    stream: Stream,
    micro_pack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(self: object) -> None:
        raise OutputError("failed at the end", where="a file", mend="Nothing.")

    monkeypatch.setattr(Session, "close", fail)
    code = main(["run", str(stream.path), "--pack", str(micro_pack), "--out", str(tmp_path)])
    assert code == OutputError.exit_code
    assert "failed at the end" in capsys.readouterr().err
    assert (tmp_path / "report.html").is_file()


def test_questions_for_after_the_end_are_asked_there_one_after_another_and_said_to_be(
    run: Callable[..., Run], stream: Stream
) -> None:
    asks = ("--ask", "And then?@1e300", "--ask", "What happened?@3600")
    result = run(stream.path, *asks)
    assert result.code == 0
    notices = [e for e in result.events("source_notice") if "the stream ended before" in e["what"]]
    asked = [e for e in result.events("transcribed") if e["typed"]]
    assert [e["text"] for e in asked] == ["What happened?", "And then?"]
    assert [e["at_us"] for e in notices] == [e["at_us"] for e in asked]
    assert [e["pts_us"] for e in notices] == [e["at_us"] for e in asked]
    finished = [e["utterance"] for e in result.events("answer_finished")]
    assert finished[-2:] == [-1, -2]
    first, second = (e["at_us"] for e in asked)
    heard = [e["end_us"] for e in result.events("sentence_spoken") if e["utterance"] == -1]
    assert first >= 20_000_000 and second >= max(heard, default=first)
    last_us = max([second, *(e["end_us"] for e in result.events("sentence_spoken"))])
    with wave.open(str(result.folder / "answers.wav")) as sound:
        assert abs(sound.getnframes() / 16_000 - last_us / 1e6) < 1


@pytest.mark.parametrize("seconds", ["1e303", "1e999"])
def test_a_question_for_a_time_that_is_no_time_is_refused(
    refused: Refused, micro_pack: Path, seconds: str
) -> None:
    assert refused(micro_pack, "--ask", f"What?@{seconds}")[0] == 2


def test_small_limits_of_the_files_are_kept_and_the_newest_parts_are_there(
    run: Callable[..., Run], stream: Stream, tmp_path: Path
) -> None:
    config = tmp_path / "small.toml"
    config.write_text(
        "[output]\nlog_part_bytes = 4096\nlog_parts = 2\n"
        "audio_part_bytes = 160_044\naudio_parts = 3\n"
    )
    result = run(stream.path, "--config", str(config), "--ask", "What is this?@19")
    assert result.code == 0
    logs = {p.name: p for p in result.folder.glob("*.jsonl")}
    assert {"events.jsonl", "events.1.jsonl", "timings.jsonl"} <= set(logs)
    assert set(logs) <= {"events.jsonl", "events.1.jsonl", "timings.jsonl", "timings.1.jsonl"}
    assert all(p.stat().st_size <= 4096 for p in logs.values())
    assert result.events()[-1]["type"] == "session_ended"
    assert (result.folder / "report.html").is_file()
    sounds = sorted(result.folder.glob("*.wav"))
    assert len(sounds) == 3 and "answers.wav" not in {p.name for p in sounds}
    for path in sounds:
        with wave.open(str(path)) as sound:
            assert sound.getnframes() <= 80_000
