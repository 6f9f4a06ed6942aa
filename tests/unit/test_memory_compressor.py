"""A clip's features become H and Ĥ, in steps, on reused arenas (spec §2.3)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_steps import compress

from memory_fakes import SPEC, FakePack, features
from omnilive.errors import ConfigError, EngineError
from omnilive.memory.compressor import Compressor, whole_seconds
from omnilive.memory.config import CompressionConfig


def expected(pack, frames, text):
    """Spec §2.3 in one block, on an arena of its own."""
    lm = pack.decoder("mem_lm")
    words = pack.table("mem_embed").rows(pack.tokenizer("memory").encode(text))
    clip = pack.engine("mem_proj").run({"features": np.stack(frames)})["clip_embeds"]
    embeds = np.concatenate([words, clip])
    hidden = lm.hidden(lm.new_arena(len(embeds)), embeds)
    slots = SPEC.slots * len(frames)
    return hidden[-slots - 1 : -1], hidden[-1], len(embeds)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 16), st.integers(1, 200))
def test_memory_is_the_slot_and_last_outputs_whatever_the_step_size(count, step_tokens):
    pack = FakePack()
    frames = features(count)
    compressor = Compressor(pack, CompressionConfig(step_tokens=step_tokens))
    got = compress(compressor, frames, 3_499_999, 20_500_000)
    h, g, tokens = expected(pack, frames, "This contains a clip sampled in 3 to 21 seconds")
    np.testing.assert_array_equal(got.short_term, h)
    np.testing.assert_array_equal(got.global_memory, g)
    assert got.tokens == tokens


def test_the_time_in_the_text_changes_the_memory():
    pack = FakePack()
    compressor = Compressor(pack, CompressionConfig())
    early = compress(compressor, features(3), 0, 3_000_000)
    late = compress(compressor, features(3), 60_000_000, 63_000_000)
    assert not np.array_equal(early.global_memory, late.global_memory)


def test_no_step_feeds_more_than_step_tokens_and_steps_count_their_tokens():
    pack = FakePack()
    compression = Compressor(pack, CompressionConfig(step_tokens=7)).begin(features(4), 0, 0)
    assert pack.lm.tokens == 0
    seen = []
    while not compression.step():
        seen.append(compression.tokens)
    assert seen == sorted(seen)
    assert max(pack.lm.blocks) <= 7
    assert compression.result.tokens == pack.lm.tokens == compression.tokens


def test_clips_one_after_another_share_one_arena():
    pack = FakePack()
    compressor = Compressor(pack, CompressionConfig())
    first = compress(compressor, features(16), 0, 0)
    compress(compressor, features(5, seed=1), 0, 0)
    again = compress(compressor, features(16), 0, 0)
    np.testing.assert_array_equal(first.short_term, again.short_term)
    assert len(pack.lm.arenas) == 1


def test_interleaved_compressions_do_not_disturb_each_other():
    pack = FakePack()
    alone = compress(Compressor(FakePack(), CompressionConfig()), features(6), 0, 6_000_000)
    compressor = Compressor(pack, CompressionConfig(step_tokens=5))
    a, b = (compressor.begin(features(6, seed=s), 0, 6_000_000) for s in (0, 1))
    while not (a.step() & b.step()):
        pass
    np.testing.assert_array_equal(a.result.short_term, alone.short_term)
    assert not np.array_equal(a.result.short_term, b.result.short_term)


def test_more_compressions_than_allowed_are_refused_until_one_is_cancelled():
    compressor = Compressor(FakePack(), CompressionConfig(max_concurrent=1))
    first, second = (compressor.begin(features(3), 0, 0) for _ in range(2))
    first.step()
    with pytest.raises(EngineError, match="max_concurrent"):
        second.step()
    first.cancel()
    assert len(compress(compressor, features(3), 0, 0).short_term) == 12
    with pytest.raises(RuntimeError, match="cancelled"):
        first.step()


def test_a_clip_beyond_the_positions_is_an_engine_error_and_frees_its_place():
    compressor = Compressor(FakePack(max_positions=90), CompressionConfig(max_concurrent=1))
    for _ in range(2):
        with pytest.raises(EngineError, match="clip_max"):
            compress(compressor, features(16), 0, 0)
    assert len(compress(compressor, features(2), 0, 0).short_term) == 8


def test_hidden_states_that_are_not_finite_are_an_engine_error_and_free_their_place():
    pack = FakePack()
    compressor = Compressor(pack, CompressionConfig(max_concurrent=1))
    broken = [np.full_like(f, np.nan) for f in features(3)]
    with pytest.raises(EngineError, match="not finite"):
        compress(compressor, broken, 0, 0)
    assert len(compress(compressor, features(3), 0, 0).short_term) == 12


def test_results_cannot_be_written():
    result = compress(Compressor(FakePack(), CompressionConfig()), features(3), 0, 0)
    with pytest.raises(ValueError, match="read-only"):
        result.short_term[0] = 0


def test_an_unfinished_compression_has_no_result():
    with pytest.raises(RuntimeError, match="not done"):
        _ = Compressor(FakePack(), CompressionConfig()).begin(features(3), 0, 0).result


@pytest.mark.parametrize(
    ("pts_us", "seconds"), [(0, 0), (499_999, 0), (500_000, 1), (1_500_000, 2), (2_500_000, 3)]
)
def test_seconds_round_halves_up(pts_us, seconds):
    assert whole_seconds(pts_us) == seconds


@pytest.mark.parametrize("prompt", ["no times", "{start}", "{start} {end} {x}", "{start} {end"])
def test_a_prompt_without_both_times_is_refused(prompt):
    with pytest.raises(ConfigError, match=r"compression\.prompt"):
        CompressionConfig(prompt=prompt).validate()
