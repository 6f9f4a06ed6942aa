"""Long-term memory: incremental use of KV equals full recomputation, within stated bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_steps import integrate

from memory_fakes import SPEC, FakePack, clip
from omnilive.errors import ConfigError, EngineError
from omnilive.memory.config import LongTermConfig
from omnilive.memory.long_term import LongTermMemory, full, integration_window


def reference(clips, max_clips):
    window = integration_window(clips, max_clips)
    return full(FakePack(max_positions=8192).decoder("mem_lm"), window)


def test_an_empty_memory_has_no_rows():
    assert integrate(LongTermMemory(FakePack(), LongTermConfig()), ()).shape == (0, SPEC.hidden)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 16), min_size=1, max_size=30),
    st.integers(1, 9),
    st.integers(1, 80),
    st.data(),
)
def test_any_sequence_of_snapshots_integrates_as_if_from_nothing(frames, max_clips, step, data):
    clips = [clip(i, n) for i, n in enumerate(frames)]
    pack = FakePack(max_positions=8192)
    memory = LongTermMemory(pack, LongTermConfig(max_clips=max_clips, step_tokens=step))
    for _ in range(6):
        snapshot = clips[: data.draw(st.integers(1, len(clips)), label="clips")]
        if data.draw(st.booleans(), label="open clip"):
            snapshot[-1] = clip(len(snapshot) - 1, 2, seed=1000 + len(snapshot))
        if data.draw(st.booleans(), label="abandon one first"):
            abandoned = memory.begin(clips)
            for _ in range(data.draw(st.integers(0, 4), label="steps")):
                abandoned.step()
        got = integrate(memory, snapshot)
        np.testing.assert_array_equal(got, reference(snapshot, max_clips))
        assert max(a.length for a in pack.lm.arenas) <= pack.lm.arenas[0].capacity


def test_a_closed_clip_costs_its_own_rows_and_one_row_per_clip():
    pack = FakePack(max_positions=8192)
    memory = LongTermMemory(pack, LongTermConfig(max_clips=32))
    clips = [clip(i, 16) for i in range(20)]
    integrate(memory, clips[:19])
    before = memory.tokens_computed
    integrate(memory, clips)
    assert memory.tokens_computed - before == 64 + 20
    assert memory.tokens_computed == pack.lm.tokens


def test_the_same_snapshot_again_costs_nothing():
    pack = FakePack()
    memory = LongTermMemory(pack, LongTermConfig())
    first = integrate(memory, [clip(0), clip(1)])
    before = memory.tokens_computed
    again = integrate(memory, [clip(0), clip(1)])
    assert again is first
    assert memory.tokens_computed == before


def test_a_changed_global_memory_alone_is_not_mistaken_for_the_same_snapshot():
    memory = LongTermMemory(FakePack(), LongTermConfig())
    a, b = clip(0), clip(0, seed=0)
    object.__setattr__(b, "global_memory", clip(0, seed=9).global_memory)
    assert not np.array_equal(integrate(memory, [a]), integrate(memory, [b]))


def test_recomputation_after_a_slide_happens_once_per_quarter_of_the_window():
    pack = FakePack(max_positions=8192)
    memory = LongTermMemory(pack, LongTermConfig(max_clips=8))
    clips, whole = [], 0
    for i in range(40):
        clips.append(clip(i, 2))
        before = memory.tokens_computed
        rows = len(integrate(memory, clips))
        whole += memory.tokens_computed - before == rows * (SPEC.slots * 2 + 1) and rows > 1
    assert whole == (40 - 8) / 2


@given(st.integers(1, 200), st.integers(1, 40))
def test_the_window_is_the_newest_clips_and_at_least_three_quarters_full(count, max_clips):
    clips = [clip(i, 1) for i in range(count)]
    window = integration_window(clips, max_clips)
    assert list(window) == clips[len(clips) - len(window) :]
    assert len(window) <= max_clips
    assert len(window) >= min(count, max_clips - max(1, max_clips // 4) + 1)


def test_the_window_depends_on_the_newest_clip_not_on_what_the_store_forgot():
    clips = [clip(i, 1) for i in range(50)]
    assert integration_window(clips, 8) == integration_window(clips[30:], 8)


def test_clips_that_lost_their_short_term_memory_are_left_out():
    clips = [clip(i) for i in range(4)]
    clips[0] = clips[0].without_short_term()
    memory = LongTermMemory(FakePack(), LongTermConfig())
    np.testing.assert_array_equal(integrate(memory, clips), reference(clips[1:], 32))


def test_the_engines_positions_bound_the_window():
    memory = LongTermMemory(FakePack(max_positions=200), LongTermConfig(), clip_max=16)
    assert memory.max_clips == 3
    clips = [clip(i, 16) for i in range(9)]
    for n in range(1, 10):
        np.testing.assert_array_equal(integrate(memory, clips[:n]), reference(clips[:n], 3))


def test_an_engine_too_short_for_one_clip_is_refused():
    with pytest.raises(EngineError, match="clip_max"):
        LongTermMemory(FakePack(max_positions=64), LongTermConfig(), clip_max=16)


def test_a_clip_longer_than_planned_for_is_refused():
    memory = LongTermMemory(FakePack(), LongTermConfig(), clip_max=4)
    with pytest.raises(EngineError, match="clip_max"):
        integrate(memory, [clip(0, 5)])


def test_no_step_runs_more_than_step_tokens():
    pack = FakePack()
    memory = LongTermMemory(pack, LongTermConfig(step_tokens=10))
    integrate(memory, [clip(i, 16) for i in range(3)])
    assert max(pack.lm.blocks) <= 10


def test_a_superseded_integration_can_neither_go_on_nor_spoil_the_newer_one():
    memory = LongTermMemory(FakePack(), LongTermConfig(step_tokens=4))
    old = memory.begin([clip(0), clip(1)])
    old.step()
    new = memory.begin([clip(0)])
    with pytest.raises(RuntimeError, match="newer"):
        old.step()
    while not new.step():
        pass
    np.testing.assert_array_equal(new.result, reference([clip(0)], 32))


def test_a_failed_step_leaves_the_memory_right():
    pack = FakePack()
    memory = LongTermMemory(pack, LongTermConfig(step_tokens=4))
    integrate(memory, [clip(0)])
    integration = memory.begin([clip(0), clip(1)])
    integration.step()
    hidden, pack.lm.hidden = pack.lm.hidden, None
    with pytest.raises(TypeError):
        integration.step()
    pack.lm.hidden = hidden
    np.testing.assert_array_equal(
        integrate(memory, [clip(0), clip(1)]), reference([clip(0), clip(1)], 32)
    )


def test_long_term_memory_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        integrate(LongTermMemory(FakePack(), LongTermConfig()), [clip(0)])[0] = 0


@pytest.mark.parametrize("changes", [{"max_clips": 0}, {"step_tokens": 0}])
def test_a_long_term_setting_out_of_range_is_named(changes):
    with pytest.raises(ConfigError, match=rf"long_term\.{next(iter(changes))}"):
        LongTermConfig(**changes).validate()
