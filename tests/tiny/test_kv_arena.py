"""A KV arena that was filled in parts, or truncated and filled again, equals one full prefill."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.engine.interface import KvArena
from omnilive.engine.pack import EnginePack
from omnilive_export.verify.inputs import embeddings
from omnilive_export.verify.measure import FP32_RELATIVE_ERROR, relative_error

pytestmark = pytest.mark.tiny

F32 = npt.NDArray[np.float32]
CAPACITY = 192
EXAMPLES = settings(max_examples=20, deadline=None)

lengths = st.integers(min_value=1, max_value=48)
junk_lengths = st.integers(min_value=0, max_value=48)
seeds = st.integers(min_value=0, max_value=2**32 - 1)
TABLES = {"mem_lm": "mem_embed", "aud_lm": "aud_embed", "vlm_lm": "vlm_embed"}


@dataclass(frozen=True, eq=False)
class Lm:
    """One LM engine with a way to append embeds and read every position's output."""

    name: str
    new_arena: Callable[[], KvArena]
    append: Callable[[KvArena, F32, npt.NDArray[np.bool_]], F32]
    rows: F32


@pytest.fixture(params=sorted(TABLES), scope="module")
def lm(request: pytest.FixtureRequest, fp32_pack: EnginePack) -> Lm:
    name = request.param
    decoder = fp32_pack.decoder(name)

    def append(arena: KvArena, embeds: F32, partial_lora: npt.NDArray[np.bool_]) -> F32:
        if name == "mem_lm":
            return decoder.hidden(arena, embeds)
        rows = np.arange(len(embeds), dtype=np.int64)
        plora = rows[partial_lora] if name == "vlm_lm" else None
        return decoder.logits(arena, embeds, rows=rows, plora_rows=plora)

    rows = fp32_pack.table(TABLES[name]).rows(range(64))
    return Lm(name, lambda: decoder.new_arena(CAPACITY), append, rows)


def draw(lm: Lm, seed: int, count: int) -> tuple[F32, npt.NDArray[np.bool_]]:
    """Random embeds and, at random positions, Partial-LoRA (which only ``vlm_lm`` has)."""
    rng = np.random.default_rng(seed)
    return embeddings(rng, count, lm.rows), rng.random(count) < rng.random()


def close(actual: Any, expected: Any) -> bool:
    return relative_error(actual, expected) <= FP32_RELATIVE_ERROR


@EXAMPLES
@given(first=lengths, second=lengths, seed=seeds)
def test_prefill_in_two_parts_equals_one_prefill(
    lm: Lm, first: int, second: int, seed: int
) -> None:
    embeds, plora = draw(lm, seed, first + second)
    whole = lm.append(lm.new_arena(), embeds, plora)
    arena = lm.new_arena()
    head = lm.append(arena, embeds[:first], plora[:first])
    tail = lm.append(arena, embeds[first:], plora[first:])
    assert arena.length == first + second
    assert close(np.concatenate([head, tail]), whole)


@EXAMPLES
@given(first=lengths, second=lengths, junk=junk_lengths, seed=seeds)
def test_truncated_junk_leaves_no_trace(
    lm: Lm, first: int, second: int, junk: int, seed: int
) -> None:
    embeds, plora = draw(lm, seed, first + second)
    whole = lm.append(lm.new_arena(), embeds, plora)
    arena = lm.new_arena()
    lm.append(arena, embeds[:first], plora[:first])
    if junk:
        lm.append(arena, *draw(lm, seed + 1, junk))
    arena.truncate(first)
    assert close(lm.append(arena, embeds[first:], plora[first:]), whole[first:])


@EXAMPLES
@given(count=st.integers(min_value=2, max_value=24), seed=seeds)
def test_token_by_token_equals_one_prefill(lm: Lm, count: int, seed: int) -> None:
    embeds, plora = draw(lm, seed, count)
    whole = lm.append(lm.new_arena(), embeds, plora)
    arena = lm.new_arena()
    steps = [lm.append(arena, embeds[i : i + 1], plora[i : i + 1]) for i in range(count)]
    assert close(np.concatenate(steps), whole)


@EXAMPLES
@given(kept=lengths, seed=seeds)
def test_what_comes_before_matters(lm: Lm, kept: int, seed: int) -> None:
    """Guards the tests above: an engine that ignored its arena would pass them all."""
    embeds, plora = draw(lm, seed, kept + 1)
    other, _ = draw(lm, seed + 1, kept)
    arena, elsewhere = lm.new_arena(), lm.new_arena()
    lm.append(arena, embeds[:kept], plora[:kept])
    lm.append(elsewhere, other, plora[:kept])
    last, last_elsewhere = (lm.append(a, embeds[kept:], plora[kept:]) for a in (arena, elsewhere))
    assert not close(last, last_elsewhere)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_what_arenas_have_written_is_counted_until_they_are_gone(
    name: str, fp32_pack: EnginePack
) -> None:
    decoder, rows = fp32_pack.decoder(name), fp32_pack.table(TABLES[name]).rows(range(8))
    append = decoder.hidden if name == "mem_lm" else decoder.logits
    gc.collect()
    before = decoder.kv_bytes
    first, second = decoder.new_arena(16), decoder.new_arena(16)
    assert decoder.kv_bytes == before
    append(first, rows[:6])
    first.truncate(2)
    append(second, rows[:1])
    per_token, rest = divmod(decoder.kv_bytes - before, 7)
    assert (per_token, rest) == (fp32_pack.manifest.engines[name].kv.bytes_per_token(), 0)
    del first
    gc.collect()
    assert decoder.kv_bytes == before + per_token
