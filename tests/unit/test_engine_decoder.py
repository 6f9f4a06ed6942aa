"""The decoder's promise: an arena kept, truncated and continued equals a fresh prefill."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes_graphs import POSITIONS, VOCAB, WIDTH
from fakes_pack import write_pack
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import EngineError


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> EnginePack:
    folder = tmp_path_factory.mktemp("pack")
    write_pack(folder)
    return open_pack(folder, threads=1)


def embeds(seed: int, tokens: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((tokens, WIDTH)).astype(np.float32)


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.sqrt(np.mean(b.astype(np.float64) ** 2)))


@given(
    cuts=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    junk=st.integers(0, 12),
    keep=st.integers(0, 20),
)
@settings(max_examples=40, deadline=None)
def test_blocks_and_truncated_junk_give_what_one_prefill_gives(
    pack: EnginePack, cuts: list[int], junk: int, keep: int
) -> None:
    decoder = pack.decoder("mem_lm")
    tokens = min(sum(cuts), POSITIONS - 12)
    sequence = embeds(1, tokens)
    whole = decoder.hidden(decoder.new_arena(), sequence)

    arena = decoder.new_arena()
    keep = min(keep, tokens)
    if keep:
        decoder.hidden(arena, sequence[:keep])
    if junk:
        decoder.hidden(arena, 100 * embeds(2, junk))
    arena.truncate(keep)
    parts, at = [whole[:keep]], keep
    for cut in cuts:
        if at < tokens:
            parts.append(decoder.hidden(arena, sequence[at : at + cut]))
            at += len(parts[-1])
    assert arena.length == at
    assert relative(np.concatenate(parts), whole[:at]) <= 1e-5


def test_a_single_step_equals_the_same_token_within_a_block(pack: EnginePack) -> None:
    decoder = pack.decoder("vlm_lm")
    sequence = embeds(3, 9)
    block = decoder.logits(decoder.new_arena(), sequence, rows=np.arange(9))
    arena = decoder.new_arena()
    steps = [decoder.logits(arena, sequence[i : i + 1])[0] for i in range(9)]
    assert relative(np.stack(steps), block) <= 1e-5


def test_logits_of_a_step_stay_as_they_are_after_the_next_step(pack: EnginePack) -> None:
    decoder = pack.decoder("vlm_lm")
    arena = decoder.new_arena()
    first = decoder.logits(arena, embeds(4, 1))
    before = first.copy()
    decoder.logits(arena, embeds(5, 1))
    np.testing.assert_array_equal(first, before)


def test_asked_rows_are_rows_of_the_whole_block_and_none_asked_gives_none(
    pack: EnginePack,
) -> None:
    decoder = pack.decoder("aud_lm")
    sequence = embeds(6, 7)
    block = decoder.logits(decoder.new_arena(), sequence, rows=np.arange(7))
    some = decoder.logits(decoder.new_arena(), sequence, rows=np.array([5, 0]))
    np.testing.assert_allclose(some, block[[5, 0]], rtol=1e-5, atol=1e-6)
    last = decoder.logits(decoder.new_arena(), sequence)
    np.testing.assert_allclose(last, block[-1:], rtol=1e-5, atol=1e-6)
    arena = decoder.new_arena()
    nothing = decoder.logits(arena, sequence, rows=np.zeros(0, np.int64))
    assert nothing.shape == (0, VOCAB)
    assert arena.length == 7


def test_partial_lora_changes_its_rows_only(pack: EnginePack) -> None:
    decoder = pack.decoder("vlm_lm")
    sequence, rows = embeds(7, 6), np.arange(6)
    plain = decoder.logits(decoder.new_arena(), sequence, rows=rows)
    empty = decoder.logits(decoder.new_arena(), sequence, rows=rows, plora_rows=rows[:0])
    some = decoder.logits(
        decoder.new_arena(), sequence, rows=rows, plora_rows=np.array([4], np.int64)
    )
    np.testing.assert_array_equal(plain, empty)
    np.testing.assert_allclose(some[:4], plain[:4], rtol=1e-5, atol=1e-6)
    assert np.abs(some[4] - plain[4]).max() > 1e-3


def test_a_single_token_can_have_partial_lora(pack: EnginePack) -> None:
    decoder = pack.decoder("vlm_lm")
    token = embeds(8, 1)
    with_lora = decoder.logits(decoder.new_arena(), token, plora_rows=np.array([0]))
    assert np.abs(with_lora - decoder.logits(decoder.new_arena(), token)).max() > 1e-3


def test_overflow_is_refused_and_leaves_the_arena_as_it_was(pack: EnginePack) -> None:
    decoder = pack.decoder("mem_lm")
    arena = decoder.new_arena(10)
    kept = decoder.hidden(arena, embeds(9, 8))
    with pytest.raises(EngineError, match="exceed its capacity of 10"):
        decoder.hidden(arena, embeds(9, 3))
    assert arena.length == 8
    tail = decoder.hidden(arena, embeds(10, 2))
    fresh = decoder.hidden(decoder.new_arena(), np.concatenate([embeds(9, 8), embeds(10, 2)]))
    assert relative(np.concatenate([kept, tail]), fresh) <= 1e-5


@pytest.mark.parametrize("capacity", [0, POSITIONS + 1])
def test_an_arena_beyond_the_engines_positions_is_refused(pack: EnginePack, capacity: int) -> None:
    with pytest.raises(EngineError, match=f"only 1 to {POSITIONS}"):
        pack.decoder("mem_lm").new_arena(capacity)


def test_truncating_to_more_than_it_holds_is_refused(pack: EnginePack) -> None:
    decoder = pack.decoder("mem_lm")
    arena = decoder.new_arena()
    decoder.hidden(arena, embeds(11, 3))
    with pytest.raises(EngineError, match="cannot keep 4 tokens of 3"):
        arena.truncate(4)


def test_an_arena_of_another_engine_is_refused(pack: EnginePack) -> None:
    with pytest.raises(EngineError, match="another engine"):
        pack.decoder("aud_lm").logits(pack.decoder("vlm_lm").new_arena(), embeds(12, 1))


@pytest.mark.parametrize("shape", [(0, WIDTH), (2, WIDTH + 1), (2,)])
def test_embeds_of_another_shape_are_refused(pack: EnginePack, shape: tuple[int, ...]) -> None:
    decoder = pack.decoder("mem_lm")
    with pytest.raises(EngineError, match="takes embeds"):
        decoder.hidden(decoder.new_arena(), np.zeros(shape, np.float32))


@pytest.mark.parametrize("rows", [[-1], [3], [[0]]])
def test_rows_outside_the_block_are_refused(pack: EnginePack, rows: list[int]) -> None:
    decoder = pack.decoder("aud_lm")
    with pytest.raises(EngineError, match="rows outside its block of 3 tokens"):
        decoder.logits(decoder.new_arena(), embeds(13, 3), rows=np.array(rows))


def test_partial_lora_is_refused_where_the_engine_has_none(pack: EnginePack) -> None:
    decoder = pack.decoder("aud_lm")
    with pytest.raises(EngineError, match="no Partial-LoRA"):
        decoder.logits(decoder.new_arena(), embeds(14, 2), plora_rows=np.array([0]))


def test_asking_a_decoder_for_the_output_it_lacks_is_refused(pack: EnginePack) -> None:
    memory, audio = pack.decoder("mem_lm"), pack.decoder("aud_lm")
    with pytest.raises(EngineError, match="not logits"):
        memory.logits(memory.new_arena(), embeds(15, 1))
    with pytest.raises(EngineError, match="not hidden states"):
        audio.hidden(audio.new_arena(), embeds(15, 1))


def test_arenas_of_one_decoder_run_from_several_threads_without_mixing(pack: EnginePack) -> None:
    decoder = pack.decoder("mem_lm")

    def run(seed: int) -> np.ndarray:
        arena, sequence = decoder.new_arena(), embeds(seed, 24)
        return np.concatenate([decoder.hidden(arena, sequence[i : i + 1]) for i in range(24)])

    alone = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, range(4)))
    np.testing.assert_array_equal(together, alone)
