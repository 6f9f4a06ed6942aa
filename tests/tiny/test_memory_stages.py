"""The memory stage on real fp32 engines: incremental and stepped use equals one full pass."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_steps import compress, integrate

from omnilive.engine.pack import EnginePack
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.compressor import Compressor
from omnilive.memory.config import CompressionConfig, LongTermConfig, RetrievalConfig
from omnilive.memory.grounding import Grounding
from omnilive.memory.long_term import LongTermMemory, full, integration_window

pytestmark = pytest.mark.tiny

F32 = npt.NDArray[np.float32]
TOLERANCE = 1e-5
"""DESIGN §5: max|a-b| / rms(b) in fp32 on tiny engines."""

EXAMPLES = settings(max_examples=10, deadline=None)


def deviation(actual: F32, expected: F32) -> float:
    rms = np.sqrt(np.mean(np.square(expected, dtype=np.float64)))
    return float(np.abs(actual.astype(np.float64) - expected).max() / rms)


def frames(pack: EnginePack, count: int, seed: int) -> list[F32]:
    """Patch features of ``count`` pictures of noise."""
    spec = pack.manifest.memory
    shape = (count, spec.pixels, spec.pixels, 3)
    pictures = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return list(pack.engine("mem_vit").run({"frames": pictures})["features"])


def compressed(pack: EnginePack, index: int, count: int) -> Clip:
    start_us = index * 16_000_000
    end_us = start_us + count * 1_000_000
    compressor = Compressor(pack, CompressionConfig())
    memory = compress(compressor, frames(pack, count, index), start_us, end_us)
    pts = tuple(range(start_us, end_us, 1_000_000))
    return Clip(
        index,
        start_us,
        end_us,
        pts,
        tuple(Keyframe(str(p), 64, 36) for p in pts),
        memory.short_term,
        memory.global_memory,
    )


@pytest.fixture(scope="module")
def clips(fp32_pack: EnginePack) -> list[Clip]:
    lengths = (16, 3, 5, 16, 4, 9, 16, 3, 12, 7)
    return [compressed(fp32_pack, i, n) for i, n in enumerate(lengths)]


@EXAMPLES
@given(st.integers(1, 16), st.integers(7, 400))
def test_a_clip_compressed_in_steps_equals_one_pass_of_the_spec(
    fp32_pack: EnginePack, count: int, step_tokens: int
) -> None:
    features = frames(fp32_pack, count, count)
    compressor = Compressor(fp32_pack, CompressionConfig(step_tokens=step_tokens))
    got = compress(compressor, features, 12_400_000, 28_600_000)

    text = "This contains a clip sampled in 12 to 29 seconds"
    words = fp32_pack.table("mem_embed").rows(fp32_pack.tokenizer("memory").encode(text))
    rows = fp32_pack.engine("mem_proj").run({"features": np.stack(features)})["clip_embeds"]
    embeds = np.concatenate([words, rows])
    lm = fp32_pack.decoder("mem_lm")
    hidden = lm.hidden(lm.new_arena(len(embeds)), embeds)
    slots = fp32_pack.manifest.memory.slots * count
    assert got.tokens == len(embeds)
    assert got.short_term.shape == (slots, fp32_pack.manifest.memory.hidden)
    assert deviation(got.short_term, hidden[-1 - slots : -1]) <= TOLERANCE
    assert deviation(got.global_memory, hidden[-1]) <= TOLERANCE


@EXAMPLES
@given(
    st.lists(st.integers(1, 10), min_size=1, max_size=5),
    st.integers(2, 8),
    st.integers(5, 300),
)
def test_any_series_of_snapshots_equals_full_recomputation(
    fp32_pack: EnginePack,
    clips: list[Clip],
    snapshots: list[int],
    max_clips: int,
    step_tokens: int,
) -> None:
    memory = LongTermMemory(fp32_pack, LongTermConfig(max_clips=max_clips, step_tokens=step_tokens))
    for count in snapshots:
        got = integrate(memory, clips[:count])
        window = integration_window(clips[:count], max_clips)
        assert deviation(got, full(fp32_pack.decoder("mem_lm"), window)) <= TOLERANCE


def test_growing_clip_by_clip_runs_each_closed_clip_once(
    fp32_pack: EnginePack, clips: list[Clip]
) -> None:
    memory = LongTermMemory(fp32_pack, LongTermConfig(max_clips=len(clips)))
    for count in range(1, len(clips) + 1):
        integrate(memory, clips[:count])
    rows = sum(len(c.short_term) for c in clips)
    assert memory.tokens_computed == rows + sum(range(1, len(clips) + 1))


@EXAMPLES
@given(st.lists(st.sampled_from(["what is it", "where", "这是什么", "and then"]), min_size=2))
def test_questions_in_a_row_equal_each_question_alone(
    fp32_pack: EnginePack, clips: list[Clip], questions: list[str]
) -> None:
    long_term = integrate(LongTermMemory(fp32_pack, LongTermConfig()), clips)
    grounding = Grounding(fp32_pack, RetrievalConfig())
    for question in questions:
        alone = Grounding(fp32_pack, RetrievalConfig()).question_feature(long_term, question)
        assert deviation(grounding.question_feature(long_term, question), alone) <= TOLERANCE
