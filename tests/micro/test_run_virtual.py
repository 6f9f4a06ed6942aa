"""``omnilive run`` in virtual time, from the outside."""

from __future__ import annotations

import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from runs import SLOW_TOKEN_US, Run, Stream

BLOCK_US = 100_000
"""The longest PCM block a source gives."""

LAST_QUESTION_US = 19_500_000
"""A question asked later than the stream's end would wait for the answer before it."""

OUTCOMES = ("answer_finished", "answer_cancelled", "unanswered")


def read_wav(path: Path) -> npt.NDArray[np.int16]:
    with wave.open(str(path)) as file:
        assert file.getframerate() == 16_000
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def at_sample(time_us: int) -> int:
    return time_us * 16_000 // 1_000_000


def about(event: dict[str, Any], utterance: int) -> bool:
    return bool(event["utterance"] == utterance)


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
    run: Callable[..., Run], stream: Stream, slow_device: Path
) -> None:
    result = run(stream.path, "--config", str(slow_device))
    stopped = result.events("answer_interrupted")[0]
    interruption = result.events("speech_started")[1]
    assert stopped["by_generation"] == interruption["generation"]
    assert stopped["at_us"] == interruption["at_us"]
    later = [e for e in result.events() if e["id"] > stopped["id"]]
    stale = [e["type"] for e in later if e.get("generation") == stopped["generation"]]
    assert stale == ["answer_cancelled"]


def test_a_barge_in_cuts_an_answer_in_mid_decode(
    run: Callable[..., Run], stream: Stream, slow_device: Path
) -> None:
    ask = ("--config", str(slow_device), "--ask", "What is this?@13")
    undisturbed = [e for e in run(stream.path, *ask).events("token_decoded") if about(e, -1)]
    cut_us = undisturbed[0]["at_us"] + SLOW_TOKEN_US // 2
    result = run(stream.path, *ask, "--ask", f"And that?@{cut_us / 1e6}")
    cancelled = next(e for e in result.events("answer_cancelled") if about(e, -1))
    tokens = [e for e in result.events("token_decoded") if about(e, -1)]
    finished = [e["utterance"] for e in result.events("answer_finished")]
    assert len(tokens) == cancelled["tokens"] == 1
    assert -1 not in finished and -2 in finished
    assert cancelled["at_us"] == pytest.approx(cut_us, abs=1)


def test_a_cancelled_answer_is_silent_from_the_barge_in_on(
    run: Callable[..., Run], stream: Stream
) -> None:
    ask = ("--ask", "What is this?@12")
    undisturbed = [e for e in run(stream.path, *ask).events("sentence_spoken") if about(e, -1)]
    # While the last sentence sounds, which is the same in the run that is disturbed.
    start_us, end_us = (undisturbed[-1][name] for name in ("start_us", "end_us"))
    cut_us = min((start_us + end_us) // 2, LAST_QUESTION_US)
    assert start_us < cut_us
    result = run(stream.path, *ask, "--ask", f"And that?@{cut_us / 1e6}")
    cancelled = next(e for e in result.events("answer_cancelled") if about(e, -1))
    assert cancelled["at_us"] == pytest.approx(cut_us, abs=1)
    assert cancelled["silenced_us"] == pytest.approx(end_us - cut_us, abs=100)

    sound = read_wav(result.folder / "answers.wav")
    cut, begin = at_sample(cut_us), at_sample(start_us)
    after = [e["start_us"] for e in result.events("sentence_spoken") if about(e, -2)]
    assert sound[begin:cut].any()
    assert not sound[cut + 1 : at_sample(min(after)) if after else None].any()


def test_every_utterance_has_one_outcome_and_the_last_event_counts_them(
    run: Callable[..., Run], stream: Stream, answer_everything: Path
) -> None:
    asks = [a for at_s in (3, 8.6, 13, 13.4, 19) for a in ("--ask", f"What is this?@{at_s}")]
    result = run(stream.path, "--config", str(answer_everything), *asks)
    outcomes = [e for e in result.events() if e["type"] in OUTCOMES]
    begun = {e["utterance"] for e in result.events("speech_started")}
    assert sorted(e["utterance"] for e in outcomes) == sorted({*begun, *range(-5, 0)})
    ended, kinds = result.only("session_ended"), [e["type"] for e in outcomes]
    assert ended["answers"] == kinds.count("answer_finished") >= 1
    assert ended["cancelled"] == kinds.count("answer_cancelled")
    assert "superseded" in {e.get("reason") for e in outcomes} or ended["cancelled"] >= 1


def test_an_utterance_that_is_no_instruction_stays_unanswered_and_says_so(
    run: Callable[..., Run], stream: Stream, tmp_path: Path
) -> None:
    config = tmp_path / "strict.toml"
    config.write_text("[instruction]\nthreshold = 1.0\n", encoding="utf-8")
    result = run(stream.path, "--config", str(config))
    assert {e["reason"] for e in result.events("unanswered")} == {"filler"}
    assert not result.events("token_decoded")
    assert not read_wav(result.folder / "answers.wav").any()


def test_words_beyond_the_limit_of_the_check_stay_unanswered_and_the_run_goes_on(
    run: Callable[..., Run], stream: Stream, tmp_path: Path
) -> None:
    config = tmp_path / "short.toml"
    config.write_text("[instruction]\nmax_prompt_tokens = 16\n", encoding="utf-8")
    result = run(stream.path, "--config", str(config), "--ask", "What is this?@15")
    assert result.code == 0
    assert {e["reason"] for e in result.events("unanswered")} == {"too_long"}
    assert result.only("answer_finished")["utterance"] == -1


@pytest.mark.parametrize("preset", ["edge", "paper", "demo-compat"])
def test_every_preset_answers_from_what_it_chose(
    run: Callable[..., Run], stream: Stream, preset: str
) -> None:
    result = run(stream.path, "--preset", preset, "--ask", "What is this?@19")
    evidence = next(e for e in result.events("evidence_chosen") if e["utterance"] == -1)
    total = evidence["visual_tokens"] + evidence["memory_tokens"] + evidence["text_tokens"]
    assert evidence["prompt_tokens"] == total
    assert (evidence["memory_tokens"] == 0) == (preset == "demo-compat")
    assert evidence["estimated_ms"] > 0 and evidence["evicted"] == 0
    assert set(evidence["clips"]) <= set(result.events("grounded")[-1]["selected"])
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
