"""The question feature, its cosine with every clip, and what stays in the KV between questions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_fakes import SPEC, FakePack, clip
from omnilive.errors import ConfigError, EngineError, TooLongError
from omnilive.memory.config import RetrievalConfig
from omnilive.memory.grounding import Grounding, globals_of


def long_term(rows, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, SPEC.hidden)).astype(np.float32)


def expected(rows, question):
    """Spec §2.5 in one block, on an arena of its own."""
    pack = FakePack(max_positions=8192)
    lm = pack.decoder("mem_lm")
    words = pack.table("mem_embed").rows(pack.tokenizer("memory").encode(question))
    embeds = np.concatenate([rows, words])
    return lm.hidden(lm.new_arena(len(embeds)), embeds)[-1]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 2), st.text(min_size=1, max_size=60)),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 64),
)
def test_any_series_of_questions_gives_what_each_would_alone(questions, step_tokens):
    grounding = Grounding(
        FakePack(), RetrievalConfig(step_tokens=step_tokens, max_question_tokens=1000)
    )
    for rows, seed, question in questions:
        memory = long_term(rows, seed)
        got = grounding.question_feature(memory, question)
        np.testing.assert_array_equal(got, expected(memory, question))


def test_a_second_question_on_the_same_memory_runs_only_its_own_tokens():
    grounding = Grounding(FakePack(), RetrievalConfig())
    grounding.question_feature(long_term(30), "what is it")
    before = grounding.tokens_computed
    grounding.question_feature(long_term(30), "and where")
    assert (before, grounding.tokens_computed - before) == (30 + 10, 9)


def test_a_long_question_is_read_from_its_end():
    grounding = Grounding(FakePack(), RetrievalConfig(max_question_tokens=5))
    got = grounding.question_feature(long_term(3), "please look again: where")
    np.testing.assert_array_equal(got, expected(long_term(3), "where"))


def test_an_empty_question_is_refused_and_the_next_one_works():
    grounding = Grounding(FakePack(), RetrievalConfig())
    with pytest.raises(ConfigError, match="question"):
        grounding.question_feature(long_term(3), "")
    np.testing.assert_array_equal(
        grounding.question_feature(long_term(3), "what"), expected(long_term(3), "what")
    )


def test_a_question_beyond_the_positions_is_too_long_and_the_next_one_works():
    grounding = Grounding(FakePack(max_positions=40), RetrievalConfig())
    grounding.question_feature(long_term(30), "what")
    with pytest.raises(TooLongError, match="positions"):
        grounding.question_feature(long_term(30), "a question that does not fit")
    np.testing.assert_array_equal(
        grounding.question_feature(long_term(30), "where"), expected(long_term(30), "where")
    )


def test_a_question_that_failed_half_way_spoils_nothing():
    pack = FakePack()
    grounding = Grounding(pack, RetrievalConfig(step_tokens=8))
    grounding.question_feature(long_term(20), "what")
    hidden = pack.lm.hidden

    def fails_later(arena, embeds):
        if arena.length:
            raise EngineError("broke", where="engine", mend="-")
        return hidden(arena, embeds)

    pack.lm.hidden = fails_later
    with pytest.raises(EngineError, match="broke"):
        grounding.question_feature(long_term(20, seed=1), "what")
    pack.lm.hidden = hidden
    np.testing.assert_array_equal(
        grounding.question_feature(long_term(20), "what"), expected(long_term(20), "what")
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 50), st.integers(0, 9))
def test_scores_are_the_cosines_in_the_order_of_the_clips(count, seed):
    rng = np.random.default_rng(seed)
    feature = rng.standard_normal(SPEC.hidden).astype(np.float32)
    rows = rng.standard_normal((count, SPEC.hidden)).astype(np.float32)
    rows[::7] = 0
    got = Grounding(FakePack(), RetrievalConfig()).score(feature, rows)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(feature)
    wanted = np.divide(rows @ feature, norms, out=np.zeros(count, np.float32), where=norms > 0)
    assert got.dtype == np.float32 and got.shape == (count,)
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_grounding_finds_the_clip_whose_global_memory_is_nearest_to_the_question():
    pack = FakePack()
    clips = [clip(i) for i in range(12)]
    memory = long_term(12)
    feature = expected(memory, "where is the cup")
    object.__setattr__(clips[7], "global_memory", feature)
    grounding = Grounding(pack, RetrievalConfig(rule="best_above"))
    scores, selection = grounding.ground(memory, clips, "where is the cup")
    assert selection.clips == (7,)
    assert scores[7] == pytest.approx(1)


def test_without_clips_grounding_falls_back():
    scores, selection = Grounding(FakePack(), RetrievalConfig()).ground(long_term(0), (), "what")
    assert scores.shape == (0,)
    assert selection.fallback and selection.clips == ()


def test_clips_that_kept_only_their_global_memory_are_scored_all_the_same():
    clips = [clip(0).without_short_term(), clip(1)]
    np.testing.assert_array_equal(globals_of(clips, SPEC.hidden)[0], clips[0].global_memory)


@given(st.integers(1, 40), st.integers(0, 5))
def test_a_question_broken_off_after_any_step_spoils_nothing(step_tokens, steps):
    pack = FakePack()
    grounding = Grounding(pack, RetrievalConfig(step_tokens=step_tokens))
    broken_off = grounding.asking(long_term(20, seed=1), "who came in")
    for _ in range(steps):
        next(broken_off, None)
    broken_off.close()
    np.testing.assert_array_equal(
        grounding.question_feature(long_term(20), "what"), expected(long_term(20), "what")
    )
    assert max(pack.lm.blocks) <= step_tokens
