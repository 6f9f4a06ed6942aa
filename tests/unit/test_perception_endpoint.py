"""Utterances: nothing said is lost or doubled, and delivery in blocks of any size is the same.

The audio counts its own samples, so every array tells where it was cut from; the VAD is a script
of one probability per 32 ms chunk.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.errors import ConfigError
from omnilive.perception.config import VadConfig
from omnilive.perception.endpoint import (
    Endpointer,
    EndpointEvent,
    SpeechContinued,
    SpeechEnded,
    SpeechStarted,
    Utterance,
)
from omnilive.sources.types import Pcm, samples_to_us

CHUNK = 512
SMALL = VadConfig(
    min_speech_ms=96,  # 3 chunks
    endpoint_silence_ms=160,  # 5 chunks
    pre_roll_ms=128,  # 4 chunks
    reopen_grace_ms=192,  # 6 chunks
    answer_hold_ms=64,  # 2 chunks
    max_utterance_ms=1_280,  # 40 chunks
    split_search_ms=320,  # 10 chunks
    background_ms=640,
    background_guard_ms=64,
)
PROBABILITIES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.4, 0.9, 1.0]), st.integers(1, 12)), max_size=40
).map(lambda runs: [p for p, n in runs for _ in range(n)])


def run(
    probabilities: list[float],
    config: VadConfig = SMALL,
    blocks: list[int] | None = None,
    extra: int = 0,
    sealed: bool = False,
) -> list[EndpointEvent]:
    """All events of a script, with ``extra`` samples after its last whole chunk."""
    calls = iter(probabilities)

    def vad(chunk: np.ndarray) -> float:
        assert len(chunk) == CHUNK and chunk[0] % CHUNK == 0
        return next(calls)

    endpointer = Endpointer(config, vad)
    audio = np.arange(len(probabilities) * CHUNK + extra, dtype=np.float32)
    events: list[EndpointEvent] = []
    at = 0
    sizes = iter(blocks or [])
    while at < len(audio):
        size = next(sizes, CHUNK if sealed else 1_600)
        new = endpointer.push(Pcm(samples_to_us(at), audio[at : at + size]))
        if sealed:
            for event in new:
                if isinstance(event, SpeechEnded):
                    endpointer.seal(event.utterance.index)
        events += new
        at += size
    return events + endpointer.finish()


def utterances(events: list[EndpointEvent]) -> list[Utterance]:
    return [e.utterance for e in events if isinstance(e, SpeechEnded)]


def span(utterance: Utterance) -> tuple[int, int]:
    """First sample and the one after the last; checks that it is one stretch of the stream."""
    first = int(utterance.samples[0])
    np.testing.assert_array_equal(
        utterance.samples, np.arange(first, first + len(utterance.samples))
    )
    return first, first + len(utterance.samples)


def as_data(events: list[EndpointEvent]) -> list[tuple[object, ...]]:
    out: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, SpeechStarted):
            out.append(("started", event.index, event.onset_us, event.background.tobytes()))
        elif isinstance(event, SpeechContinued):
            out.append(("continued", event.index))
        else:
            u = event.utterance
            out.append(("ended", u.index, u.start_us, u.end_us, u.is_split, u.samples.tobytes()))
    return out


@settings(deadline=None)
@given(PROBABILITIES, st.lists(st.integers(1, 5_000), max_size=200), st.integers(0, CHUNK - 1))
def test_blocks_of_any_size_give_the_same_events(
    probabilities: list[float], blocks: list[int], extra: int
) -> None:
    assert as_data(run(probabilities, blocks=blocks, extra=extra)) == as_data(
        run(probabilities, extra=extra)
    )


@settings(deadline=None)
@given(PROBABILITIES, st.integers(0, CHUNK - 1), st.booleans())
def test_everything_said_is_in_an_utterance_and_in_one_only(
    probabilities: list[float], extra: int, sealed: bool
) -> None:
    events = run(probabilities, extra=extra, sealed=sealed)
    total = len(probabilities) * CHUNK + extra
    # What an utterance says in the end is its last ending, after the parts cut off before it.
    covered = np.zeros(total, np.int32)
    final: dict[int, list[Utterance]] = {}
    for event in events:
        if isinstance(event, SpeechContinued) and not final[event.index][-1].is_split:
            final[event.index].pop()
        elif isinstance(event, SpeechEnded):
            final.setdefault(event.utterance.index, []).append(event.utterance)
    for index, parts in final.items():
        assert [p.is_split for p in parts] == [True] * (len(parts) - 1) + [False]
        edges = [span(p) for p in parts]
        for (_, end), (start, _) in pairwise(edges):
            assert start == end, f"parts of utterance {index} do not meet"
        for part in parts:
            start, end = span(part)
            assert len(part.samples) <= SMALL.max_utterance_ms * 16
            voiced_end = part.end_us * 16 // 1000
            covered[start : max(start, min(voiced_end, end))] += 1
            assert part.start_us <= part.end_us <= samples_to_us(total)
    assert covered.max(initial=0) <= 1, "something said is in two utterances"
    for start, end in voiced_runs(probabilities):
        if end - start >= 3:
            assert covered[start * CHUNK : end * CHUNK].all(), "something said is lost"


def voiced_runs(probabilities: list[float]) -> list[tuple[int, int]]:
    """Runs of chunks at 0.5 or more."""
    flags = np.array([0, *[p >= 0.5 for p in probabilities], 0], int)
    starts = np.flatnonzero(np.diff(flags) == 1)
    ends = np.flatnonzero(np.diff(flags) == -1)
    return [(int(s), int(e)) for s, e in zip(starts, ends, strict=True)]


@settings(deadline=None)
@given(PROBABILITIES, st.booleans())
def test_started_comes_once_and_before_anything_else_of_an_utterance(
    probabilities: list[float], sealed: bool
) -> None:
    state = "idle"
    count = 0
    for event in run(probabilities, sealed=sealed):
        if isinstance(event, SpeechStarted):
            assert state == "idle" and event.index == count
            count += 1
            state = "open"
        elif isinstance(event, SpeechContinued):
            assert state == "idle" and event.index == count - 1 and not sealed
            state = "open"
        else:
            assert state == "open" and event.utterance.index == count - 1
            state = "open" if event.utterance.is_split else "idle"
    assert state == "idle"


def test_speech_is_told_as_soon_as_it_is_long_enough() -> None:
    endpointer = Endpointer(SMALL, lambda chunk: 1.0)
    told = [endpointer.push(Pcm(i * 32_000, np.zeros(CHUNK, np.float32))) for i in range(4)]
    assert [len(events) for events in told] == [0, 0, 1, 0]


def test_an_utterance_runs_from_pre_roll_to_endpoint() -> None:
    events = run([0.0] * 10 + [1.0] * 8 + [0.0] * 10)
    started, ended = events
    assert isinstance(started, SpeechStarted) and isinstance(ended, SpeechEnded)
    assert started.onset_us == 10 * 32_000
    utterance = ended.utterance
    assert span(utterance) == (6 * CHUNK, 23 * CHUNK)
    assert utterance.start_us == 10 * 32_000
    assert utterance.end_us == 18 * 32_000


def test_pre_roll_reaches_no_further_than_the_stream() -> None:
    assert span(utterances(run([1.0] * 5 + [0.0] * 5))[0])[0] == 0


@pytest.mark.parametrize("click", [1, 2])
def test_clicks_shorter_than_speech_start_nothing(click: int) -> None:
    assert run(([0.0] * 3 + [1.0] * click) * 20 + [0.0] * 5) == []


def test_speech_that_resumes_before_the_endpoint_is_one_utterance() -> None:
    (utterance,) = utterances(run([0.0] * 5 + [1.0] * 5 + [0.0] * 4 + [1.0] * 2 + [0.0] * 9))
    assert span(utterance) == (1 * CHUNK, 21 * CHUNK)
    assert utterance.end_us == 16 * 32_000


def test_a_weak_voice_keeps_speech_going_but_does_not_resume_it() -> None:
    (utterance,) = utterances(run([0.0] * 5 + [1.0] * 3 + [0.4] * 5 + [0.0] + [0.4] * 9))
    assert utterance.end_us == 13 * 32_000


@pytest.mark.parametrize("pause", [5, 8, 11])
def test_speech_that_resumes_within_the_grace_reopens_the_utterance(pause: int) -> None:
    events = run([0.0] * 5 + [1.0] * 5 + [0.0] * pause + [1.0] * 5 + [0.0] * 9)
    kinds = [type(e) for e in events]
    assert kinds == [SpeechStarted, SpeechEnded, SpeechContinued, SpeechEnded]
    first, second = utterances(events)
    assert (first.index, second.index) == (0, 0)
    assert span(first) == (1 * CHUNK, 15 * CHUNK)
    assert span(second) == (1 * CHUNK, (20 + pause) * CHUNK)
    assert second.start_us == first.start_us


def test_without_a_grace_speech_right_after_the_endpoint_is_a_new_utterance() -> None:
    script = [0.0] * 5 + [1.0] * 5 + [0.0] * 5 + [1.0] * 5 + [0.0] * 9
    assert [u.index for u in utterances(run(script, replace(SMALL, reopen_grace_ms=0)))] == [0, 1]


@pytest.mark.parametrize(("grace_ms", "told_chunks"), [(192, 9), (0, None)])
def test_how_long_an_utterance_may_be_reopened_is_told(
    grace_ms: int, told_chunks: int | None
) -> None:
    config = replace(SMALL, reopen_grace_ms=grace_ms)
    told_us = Endpointer(config, lambda chunk: 0.0).reopen_us
    assert told_us == (told_chunks or 0) * 32_000
    if told_chunks:
        script = [0.0] * 5 + [1.0] * 5 + [0.0] * 11 + [1.0] * 3
        calls = iter(script)
        endpointer = Endpointer(config, lambda chunk: next(calls))
        ended_at = continued_at = 0
        for i in range(len(script)):
            for event in endpointer.push(Pcm(i * 32_000, np.zeros(CHUNK, np.float32))):
                ended_at = i if isinstance(event, SpeechEnded) else ended_at
                continued_at = i if isinstance(event, SpeechContinued) else continued_at
        # The latest moment at which this utterance can turn out to go on.
        assert continued_at - ended_at == told_chunks


def test_speech_after_the_grace_is_a_new_utterance() -> None:
    events = run([0.0] * 5 + [1.0] * 5 + [0.0] * 12 + [1.0] * 5 + [0.0] * 9)
    assert [u.index for u in utterances(events)] == [0, 1]


def test_a_sealed_utterance_is_not_reopened_and_not_repeated() -> None:
    script = [0.0] * 5 + [1.0] * 5 + [0.0] * 6 + [1.0] * 5 + [0.0] * 9
    first, second = utterances(run(script, replace(SMALL, pre_roll_ms=320), sealed=True))
    assert (first.index, second.index) == (0, 1)
    # Ten chunks of pre-roll would reach back into the words of the first.
    assert span(second)[0] == 10 * CHUNK == first.end_us * 16 // 1000


@pytest.mark.parametrize(
    ("pause", "grace_ms", "first"),
    [(4, 192, 3), (5, 192, 8), (4, 0, 7)],  # the word begins in chunk 5, the grace is 6
)
def test_a_short_word_before_a_pause_is_in_the_utterance(
    pause: int, grace_ms: int, first: int
) -> None:
    script = [0.0] * 5 + [1.0] * 2 + [0.0] * pause + [1.0] * 5 + [0.0] * 9
    (utterance,) = utterances(run(script, replace(SMALL, reopen_grace_ms=grace_ms)))
    assert span(utterance)[0] == first * CHUNK
    assert utterance.start_us == (7 + pause) * 32_000


def test_a_short_noise_of_long_ago_is_in_no_utterance() -> None:
    noise = [1.0] * 2 + [0.0] * 20
    (utterance,) = utterances(run([0.0] * 5 + noise * 3 + [1.0] * 5 + [0.0] * 9))
    assert span(utterance)[0] == (5 + 3 * 22 - 4) * CHUNK


def test_a_click_within_the_grace_does_not_reopen() -> None:
    events = run([0.0] * 5 + [1.0] * 5 + [0.0] * 6 + [1.0] * 2 + [0.0] * 9)
    assert [type(e) for e in events] == [SpeechStarted, SpeechEnded]


def test_a_long_utterance_is_cut_at_its_quietest_moment() -> None:
    speech = [1.0] * 60
    speech[33] = 0.4
    parts = utterances(run([0.0] * 5 + speech + [0.0] * 9))
    assert [p.is_split for p in parts] == [True, False]
    assert [p.index for p in parts] == [0, 0]
    assert span(parts[0]) == (1 * CHUNK, 38 * CHUNK)
    assert span(parts[1]) == (38 * CHUNK, 70 * CHUNK)
    assert parts[1].start_us == parts[0].end_us == 38 * 32_000


def test_very_long_speech_is_split_again_and_again() -> None:
    events = run([0.0] * 5 + [1.0] * 400 + [0.0] * 9)
    assert sum(isinstance(e, SpeechStarted) for e in events) == 1
    parts = utterances(events)
    assert len(parts) > 10
    assert sum(len(p.samples) for p in parts) == (4 + 400 + 5) * CHUNK


def test_reopening_a_nearly_full_utterance_splits_it_where_it_had_ended() -> None:
    events = run([0.0] * 5 + [1.0] * 28 + [0.0] * 9 + [1.0] * 6 + [0.0] * 9)
    assert [type(e) for e in events] == [
        SpeechStarted,
        SpeechEnded,
        SpeechContinued,
        SpeechEnded,
        SpeechEnded,
    ]
    whole, part, rest = utterances(events)
    assert (whole.is_split, part.is_split, rest.is_split) == (False, True, False)
    assert span(part) == span(whole)
    assert span(rest)[0] == span(whole)[1]


def test_finish_ends_an_open_utterance_with_its_last_samples() -> None:
    (utterance,) = utterances(run([0.0] * 5 + [1.0] * 5, extra=100))
    assert span(utterance) == (1 * CHUNK, 10 * CHUNK + 100)
    assert utterance.end_us == 10 * 32_000


def test_finish_in_silence_brings_nothing() -> None:
    assert run([0.0] * 20) == []
    assert run([0.0] * 20 + [1.0] * 2) == []


def test_background_is_the_non_speech_before_and_between() -> None:
    script = [0.0] * 30 + [1.0] * 5 + [0.0] * 18 + [1.0] * 5 + [0.0] * 9
    first, second = (e for e in run(script) if isinstance(e, SpeechStarted))
    # 20 chunks, ending two before the onset.
    np.testing.assert_array_equal(first.background, np.arange(8 * CHUNK, 28 * CHUNK))
    # From the endpoint (chunk 40) to two before the second onset (53), and what was before.
    np.testing.assert_array_equal(
        second.background,
        np.concatenate([np.arange(17 * CHUNK, 28 * CHUNK), np.arange(40 * CHUNK, 51 * CHUNK)])[
            -20 * CHUNK :
        ],
    )


def test_speech_from_the_first_sample_has_no_background() -> None:
    started = run([1.0] * 5 + [0.0] * 6)[0]
    assert isinstance(started, SpeechStarted) and len(started.background) == 0


def test_times_count_from_the_first_block() -> None:
    endpointer = Endpointer(SMALL, lambda chunk: 1.0)
    (started,) = endpointer.push(Pcm(7_000_000, np.zeros(3 * CHUNK, np.float32)))
    assert isinstance(started, SpeechStarted)
    assert started.onset_us == 7_000_000


@pytest.mark.parametrize(
    "config",
    [
        VadConfig(threshold=1.0),
        VadConfig(neg_threshold=0.6),
        VadConfig(min_speech_ms=0),
        VadConfig(endpoint_silence_ms=0),
        VadConfig(pre_roll_ms=-1),
        VadConfig(reopen_grace_ms=-1),
        VadConfig(max_utterance_ms=30_001),
        VadConfig(max_utterance_ms=1_500),
        VadConfig(background_ms=0),
    ],
)
def test_values_out_of_range_are_refused(config: VadConfig) -> None:
    with pytest.raises(ConfigError, match="vad"):
        config.validate()


@pytest.mark.parametrize(
    ("after", "held"),
    [
        ([0.0] * 4, [True] * 4),  # the hold
        ([0.0] * 6, [True] * 4 + [False] * 2),
        ([0.0] * 5 + [1.0] * 2 + [0.0], [True] * 4 + [False, True, True, False]),
        ([0.0] * 3 + [1.0] * 5, [True] * 8),  # it goes on
        ([0.0] * 7 + [1.0] * 2, [True] * 4 + [False] * 5),  # after the grace: a new one
    ],
)
def test_an_answer_waits_for_the_hold_and_for_a_voice_that_may_go_on(
    after: list[float], held: list[bool]
) -> None:
    # The hold is five chunks and over with the fifth; the grace is six.
    assert may_go_on(after, replace(SMALL, answer_hold_ms=160)) == held


def test_nothing_holds_an_answer_without_a_grace_or_once_it_has_sounded() -> None:
    assert not any(may_go_on([0.0] * 6, replace(SMALL, reopen_grace_ms=0)))
    assert not any(may_go_on([0.0, 1.0, 1.0], SMALL, sealed=True))


def test_nothing_holds_an_answer_when_the_stream_is_over() -> None:
    endpointer = Endpointer(SMALL, lambda chunk: 1.0)
    endpointer.push(Pcm(0, np.zeros(9 * CHUNK, np.float32)))
    (ended,) = utterances(endpointer.finish())
    assert not endpointer.may_go_on(ended.index)


def may_go_on(after: list[float], config: VadConfig, *, sealed: bool = False) -> list[bool]:
    """After each chunk that follows the chunk of an endpoint: whether its answer is held."""
    script = [0.0] * 5 + [1.0] * 5 + [0.0] * 5
    calls = iter([*script, *after])
    endpointer = Endpointer(config, lambda chunk: next(calls))
    endpointer.push(Pcm(0, np.zeros(len(script) * CHUNK, np.float32)))
    if sealed:
        endpointer.seal(0)
    found = []
    for i in range(len(after)):
        pts_us = samples_to_us((len(script) + i) * CHUNK)
        endpointer.push(Pcm(pts_us, np.zeros(CHUNK, np.float32)))
        found.append(endpointer.may_go_on(0))
    return found
