"""Clips and their store: immutable, ordered, bounded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_fakes import clip
from omnilive.errors import ConfigError
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.config import StoreConfig
from omnilive.memory.store import MemoryStore


def test_a_clip_does_not_change_with_the_arrays_it_was_made_from():
    h, g = np.ones((4, 2), np.float32), np.ones(2, np.float32)
    made = Clip(0, 0, 1, (0,), (Keyframe("kf", 64, 36),), h, g)
    h[0] = 7
    g[0] = 7
    assert made.short_term[0, 0] == made.global_memory[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        made.short_term[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.index = 1


def test_a_clip_without_short_term_memory_keeps_everything_else():
    whole = clip(3)
    rest = whole.without_short_term()
    assert whole.has_short_term and not rest.has_short_term
    assert rest.short_term.shape == (0, whole.short_term.shape[1])
    assert (rest.index, rest.keyframes) == (whole.index, whole.keyframes)
    np.testing.assert_array_equal(rest.global_memory, whole.global_memory)
    assert not np.may_share_memory(rest.short_term, whole.short_term)
    assert rest.short_term.base is None or rest.short_term.base.nbytes == 0  # H is released
    assert rest.nbytes == rest.global_memory.nbytes


@pytest.mark.parametrize(
    "changes",
    [
        {"short_term": np.zeros((4, 3), np.float32)},
        {"short_term": np.zeros(8, np.float32)},
        {"keyframes": ()},
        {"end_us": -1},
    ],
)
def test_an_odd_clip_is_refused(changes):
    with pytest.raises(ValueError, match="clip 0"):
        dataclasses.replace(clip(0), **changes)


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 20))
def test_the_store_keeps_the_newest_clips_and_of_those_the_newest_short_term(count, a, b):
    config = StoreConfig(max_clips=max(a, b), max_short_term_clips=min(a, b))
    store = MemoryStore(config)
    for i in range(count):
        store.add(clip(i, 1))
    kept = [c.index for c in store.clips]
    assert kept == list(range(max(0, count - config.max_clips), count))
    with_h = [c.index for c in store.clips if c.has_short_term]
    assert with_h == list(range(max(0, count - config.max_short_term_clips), count))


def test_a_snapshot_never_changes():
    store = MemoryStore(StoreConfig(max_clips=2, max_short_term_clips=1))
    store.add(clip(0))
    snapshot = store.clips
    for i in range(1, 5):
        store.add(clip(i))
    assert [c.index for c in snapshot] == [0]
    assert snapshot[0].has_short_term


def test_a_clip_out_of_order_is_refused():
    store = MemoryStore(StoreConfig())
    store.add(clip(1))
    for wrong in (clip(1), clip(0)):
        with pytest.raises(ValueError, match="does not follow"):
            store.add(wrong)


@pytest.mark.parametrize(
    "changes", [{"max_clips": 0}, {"max_short_term_clips": 0}, {"max_short_term_clips": 30_000}]
)
def test_a_store_setting_out_of_range_is_named(changes):
    with pytest.raises(ConfigError, match=r"store\.max"):
        StoreConfig(**changes).validate()
