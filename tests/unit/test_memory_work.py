"""The work that memory takes is what the closed form says, of any stream, and its results agree."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_counting import REFERENCE, CountingPack, CountingTokenizer, geometry
from memory_form import Geometry, Stream, incremental_work, naive_work
from memory_stream import Recalled, Script, watch
from omnilive.config import RuntimeConfig, without_reuse
from omnilive.memory.config import (
    CompressionConfig,
    LongTermConfig,
    RetrievalConfig,
    SegmentationConfig,
)

SMALL = dataclasses.replace(REFERENCE, grid=2, max_positions=4096)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Streams with cuts anywhere and questions after any frame."""
    scenes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    words = st.sampled_from(["what is it", "who", "这是什么"])
    asks = st.lists(st.tuples(st.integers(0, sum(scenes) - 1), words), max_size=5)
    return Script(tuple(scenes), tuple(sorted(draw(asks))))


@st.composite
def configs(draw: st.DrawFn) -> RuntimeConfig:
    """Any clip lengths, window and step size."""
    clip_min = draw(st.integers(1, 3))
    step = draw(st.integers(1, 200))
    return RuntimeConfig(
        segmentation=SegmentationConfig(clip_min=clip_min, clip_max=draw(st.integers(clip_min, 6))),
        compression=CompressionConfig(step_tokens=step),
        long_term=LongTermConfig(max_clips=draw(st.integers(1, 12)), step_tokens=step),
        retrieval=RetrievalConfig(step_tokens=step),
    )


def clips_of(script: Script, config: RuntimeConfig) -> Stream:
    return script.stream(config.segmentation.clip_min, config.segmentation.clip_max)


def form(config: RuntimeConfig) -> Geometry:
    return geometry(SMALL, CountingTokenizer(), config.long_term.max_clips)


def same(a: Recalled, b: Recalled) -> bool:
    return (
        all(
            np.array_equal(x.short_term, y.short_term)
            and np.array_equal(x.global_memory, y.global_memory)
            for x, y in zip(a.clips, b.clips, strict=True)
        )
        and np.array_equal(a.long_term, b.long_term)
        and a.selection == b.selection
    )


@settings(max_examples=200)
@given(scripts(), configs())
def test_work_is_the_closed_form_of_the_stream(script: Script, config: RuntimeConfig) -> None:
    pack = CountingPack(SMALL)
    watched = watch(pack, script, config)
    expected = incremental_work(clips_of(script, config), form(config))
    assert watched.vit_calls == expected.vit_calls == sum(script.scenes)
    assert pack.lm.tokens - watched.question_tokens == expected.lm_tokens


@settings(max_examples=100)
@given(scripts(), configs())
def test_the_naive_algorithm_does_the_references_work_and_finds_the_same(
    script: Script, config: RuntimeConfig
) -> None:
    pack = CountingPack(SMALL)
    naive = watch(pack, script, without_reuse(config))
    expected = naive_work(clips_of(script, config), form(config))
    assert naive.vit_calls == expected.vit_calls
    assert pack.lm.tokens - naive.question_tokens == expected.lm_tokens
    incremental = watch(CountingPack(SMALL), script, config)
    assert len(naive.recalled) == len(incremental.recalled) == len(script.asks)
    assert all(map(same, incremental.recalled, naive.recalled))
    assert [c.frame_pts for c in naive.clips] == [c.frame_pts for c in incremental.clips]


def test_a_clip_asked_about_just_before_it_closes_is_compressed_once() -> None:
    config = RuntimeConfig()
    asked = incremental_work(Stream((16,), ((0, 16), (0, 16))), form(config))
    assert asked == incremental_work(Stream((16,)), form(config))


def test_without_questions_and_slides_the_form_is_the_sum_of_the_issue() -> None:
    """Per close 4T rows of H and the K rows of Ĥ, and the clip's own tokens once."""
    work = incremental_work(Stream((16,) * 10), geometry(REFERENCE, CountingTokenizer(), 32))
    assert work.integration_tokens == sum(4 * 16 + k for k in range(1, 11))
    tokens_per_clip = 16 * (144 + 4) + 1
    assert work.compression_tokens == sum(
        tokens_per_clip + len(f"{16 * j}{16 * j + 16}") + 10 for j in range(10)
    )


@pytest.mark.parametrize(
    ("text", "tokens"), [("sampled in 0 to 16 seconds", 9), ("a clip", 2), ("3600", 4)]
)
def test_numbers_are_counted_digit_by_digit(text: str, tokens: int) -> None:
    assert len(CountingTokenizer().encode(text)) == tokens
