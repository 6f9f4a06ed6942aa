"""``omnilive run`` in virtual time, from the outside."""

from __future__ import annotations

import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from runs import Run, Stream

BLOCK_US = 100_000
"""The longest PCM block a source gives."""


def read_wav(path: Path) -> npt.NDArray[np.int16]:
    with wave.open(str(path)) as file:
        assert file.getframerate() == 16_000
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def test_two_runs_write_the_same_events_and_the_same_sound(
    run: Callable[..., Run], stream: Stream, answer_everything: Path
) -> None:
    ask = ("--ask", "What changed?@15", "--config", str(answer_everything))
    first, second = run(stream.path, *ask), run(stream.path, *ask)
    assert first.code == second.code == 0
    for name in ("events.jsonl", "answers.wav"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    assert first.only("session_ended")["answers"] >= 1


def test_every_frame_is_seen_once_and_every_clip_remembered(
    run: Callable[..., Run], stream: Stream
) -> None:
    result = run(stream.path)
    frames = result.events("frame_encoded")
    assert [f["pts_us"] for f in frames] == [i * 1_000_000 for i in range(20)]
    closed = result.events("clip_closed")
    assert sum(c["frames"] for c in closed) == 20
    assert [c["clip"] for c in result.events("clip_compressed")] == [c["clip"] for c in closed]
    for before, after in pairwise(closed):
        assert before["end_us"] <= after["start_us"]
    assert result.events("memory_integrated")[-1]["clips"] == len(closed)


def test_speech_is_heard_where_it_was_spoken(run: Callable[..., Run], stream: Stream) -> None:
    result = run(stream.path)
    heard = result.events("speech_ended")
    assert len(heard) == len(stream.truth.spoken)
    for event, said in zip(heard, stream.truth.spoken, strict=True):
        # The utterance's samples end within one block before the event.
        length_us = event["samples"] * 1_000_000 // 16_000
        assert event["at_us"] - length_us <= said.start_us
        assert event["at_us"] - BLOCK_US >= said.end_us


def test_speech_during_an_answer_cancels_it_and_nothing_stale_follows(
    run: Callable[..., Run], stream: Stream, answer_everything: Path
) -> None:
    result = run(stream.path, "--config", str(answer_everything))
    cancelled = result.events("answer_cancelled")[0]
    interruption = result.events("speech_started")[1]
    assert cancelled["by_generation"] == interruption["generation"]
    assert cancelled["at_us"] == interruption["at_us"]
    later = [e for e in result.events() if e["id"] > cancelled["id"]]
    assert not [e for e in later if e.get("generation") == cancelled["generation"]]


def test_a_barge_in_cuts_an_answer_in_mid_decode(run: Callable[..., Run], stream: Stream) -> None:
    result = run(stream.path, "--ask", "What is this?@13", "--ask", "And that?@14.6")
    cancelled = next(e for e in result.events("answer_cancelled") if e["utterance"] == -1)
    tokens = [e for e in result.events("token_decoded") if e["utterance"] == -1]
    finished = [e["utterance"] for e in result.events("answer_finished")]
    assert 0 < len(tokens) == cancelled["tokens"]
    assert -1 not in finished and -2 in finished
    assert cancelled["at_us"] == 14_600_000
    assert tokens[-1]["at_us"] <= cancelled["at_us"]


def test_a_cancelled_answer_is_silent_from_the_barge_in_on(
    run: Callable[..., Run], stream: Stream, answer_everything: Path
) -> None:
    result = run(stream.path, "--config", str(answer_everything))
    sound = read_wav(result.folder / "answers.wav")
    spoken = result.events("sentence_spoken")
    for cancelled in result.events("answer_cancelled"):
        placed = [s["start_us"] for s in spoken if s["generation"] > cancelled["generation"]] or [
            len(sound) * 1_000_000 // 16_000
        ]
        start, end = (t * 16_000 // 1_000_000 for t in (cancelled["at_us"], min(placed)))
        assert not sound[start + 1 : end].any()


def test_an_utterance_that_is_no_instruction_stays_unanswered_and_says_so(
    run: Callable[..., Run], stream: Stream, tmp_path: Path
) -> None:
    config = tmp_path / "strict.toml"
    config.write_text("[instruction]\nthreshold = 1.0\n", encoding="utf-8")
    result = run(stream.path, "--config", str(config))
    assert {e["reason"] for e in result.events("unanswered")} == {"filler"}
    assert not result.events("token_decoded")
    assert not read_wav(result.folder / "answers.wav").any()


@pytest.mark.parametrize("preset", ["edge", "paper", "demo-compat"])
def test_every_preset_answers_from_what_it_chose(
    run: Callable[..., Run], stream: Stream, preset: str
) -> None:
    result = run(stream.path, "--preset", preset, "--ask", "What is this?@19")
    evidence = next(e for e in result.events("evidence_chosen") if e["utterance"] == -1)
    total = evidence["visual_tokens"] + evidence["memory_tokens"] + evidence["text_tokens"]
    assert evidence["prompt_tokens"] == total
    assert (evidence["memory_tokens"] == 0) == (preset == "demo-compat")
    assert next(e for e in result.events("answer_finished") if e["utterance"] == -1)


def test_a_question_after_the_end_is_answered(run: Callable[..., Run], stream: Stream) -> None:
    result = run(stream.path, "--ask", "What happened?@60")
    assert next(e for e in result.events("answer_finished") if e["utterance"] == -1)


def test_piped_output_is_plain_lines(
    run: Callable[..., Run], stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    run(stream.path)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "report.html" in out
