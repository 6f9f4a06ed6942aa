"""The native top-k cosine kernel against the definition in float64 NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from omnilive._native import instruction_sets, sum_words, topk_cosine

F64 = npt.NDArray[np.float64]
# Two float32 sums of at most 1536 products, each product within half a unit in the last place.
TOLERANCE = 2e-6


def cosines(query: npt.NDArray[np.generic], rows: npt.NDArray[np.generic]) -> F64:
    wide_query, wide_rows = query.astype(np.float64), rows.astype(np.float64)
    norms = np.linalg.norm(wide_rows, axis=1) * np.linalg.norm(wide_query)
    return np.divide(wide_rows @ wide_query, norms, out=np.zeros(len(rows)), where=norms > 0)


def values(seed: int, *shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    width=st.integers(1, 200) | st.just(1536),
    k=st.integers(0, 70),
    dtype=st.sampled_from([np.float32, np.float16]),
)
def test_scores_are_the_cosines_and_no_better_row_is_left_out(
    seed: int, count: int, width: int, k: int, dtype: type
) -> None:
    query, rows = values(seed, width), values(seed + 1, count, width).astype(dtype)
    indices, scores = topk_cosine(query, rows, k)
    expected = cosines(query, rows)
    assert indices.dtype == np.int64
    assert scores.dtype == np.float32
    assert len(indices) == len(scores) == min(k, count)
    assert len(set(indices.tolist())) == len(indices)
    np.testing.assert_allclose(scores, expected[indices], atol=TOLERANCE)
    left_out = np.delete(expected, indices)
    if len(scores) and len(left_out):
        assert left_out.max() <= scores.min() + TOLERANCE


@given(
    rows=hnp.arrays(np.float32, (12, 3), elements=st.sampled_from([-1.0, 0.0, 1.0])),
    k=st.integers(0, 12),
)
def test_order_is_score_descending_then_lower_index(rows: npt.NDArray[np.float32], k: int) -> None:
    indices, scores = topk_cosine(np.array([1, 2, 3], np.float32), rows, k)
    ranked = sorted(zip(-scores, indices, strict=True))
    assert [index for _, index in ranked] == indices.tolist()
    every_index, every_score = topk_cosine(np.array([1, 2, 3], np.float32), rows, 12)
    np.testing.assert_array_equal(indices, every_index[:k])
    np.testing.assert_array_equal(scores, every_score[:k])


def test_a_zero_row_and_a_zero_query_score_zero() -> None:
    rows = np.array([[-1, 0], [0, 0], [2, 0]], np.float32)
    indices, scores = topk_cosine(np.array([1, 0], np.float32), rows, 3)
    assert indices.tolist() == [2, 1, 0]
    assert scores.tolist() == [1, 0, -1]
    assert topk_cosine(np.zeros(2, np.float32), rows, 3)[1].tolist() == [0, 0, 0]


@given(scale=st.sampled_from([1e-18, 1e-3, 1e3, 1e17]))
def test_scores_do_not_depend_on_the_scale_of_the_rows(scale: float) -> None:
    query, rows = values(1, 64), values(2, 20, 64)
    plain = topk_cosine(query, rows, 20)[1]
    scaled = topk_cosine(query, rows * np.float32(scale), 20)[1]
    np.testing.assert_allclose(scaled, plain, atol=TOLERANCE)


def test_half_precision_rows_rank_as_their_exact_values() -> None:
    rows = values(3, 30, 100).astype(np.float16)
    rows[0, :50] = np.float16(6e-8)  # subnormal
    query = values(4, 100)
    from_half = topk_cosine(query, rows, 30)
    from_single = topk_cosine(query, rows.astype(np.float32), 30)
    np.testing.assert_array_equal(from_half[0], from_single[0])
    np.testing.assert_array_equal(from_half[1], from_single[1])


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 40),
    width=st.integers(1, 130) | st.just(1536),
    dtype=st.sampled_from([np.float32, np.float16]),
)
def test_every_instruction_set_gives_the_same_bits(
    seed: int, count: int, width: int, dtype: type
) -> None:
    query, rows = values(seed, width), values(seed + 1, count, width).astype(dtype)
    indices, scores = topk_cosine(query, rows, count)
    for isa in instruction_sets():
        others = topk_cosine(query, rows, count, isa=isa)
        np.testing.assert_array_equal(others[0], indices)
        np.testing.assert_array_equal(others[1], scores)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_rows_read_by_several_threads_rank_alike(threads: int) -> None:
    query, rows = values(11, 64), values(12, 40_000, 64).astype(np.float16)
    alone, together = topk_cosine(query, rows, 99), topk_cosine(query, rows, 99, threads=threads)
    np.testing.assert_array_equal(together[0], alone[0])
    np.testing.assert_array_equal(together[1], alone[1])
    words = rows.reshape(-1).view(np.uint64)
    expected = int(words.sum(dtype=np.uint64))
    assert {sum_words(words, threads=threads, isa=isa) for isa in instruction_sets()} == {expected}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_strided_rows_rank_like_their_copy(dtype: type) -> None:
    rows = values(5, 40, 60).astype(dtype)[::-2, 5:50:3]
    query = values(6, 30)[::2]
    strided, dense = topk_cosine(query, rows, 8), topk_cosine(query.copy(), rows.copy(), 8)
    np.testing.assert_array_equal(strided[0], dense[0])
    np.testing.assert_array_equal(strided[1], dense[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_values_without_a_rank_are_refused(bad: float) -> None:
    rows = values(7, 3, 4)
    rows[1, 2] = bad
    with pytest.raises(ValueError, match="row 1 has values"):
        topk_cosine(values(8, 4), rows, 1)
    with pytest.raises(ValueError, match="the query has values"):
        topk_cosine(rows[1], values(8, 3, 4), 1)


def test_wrong_shapes_types_and_counts_are_refused() -> None:
    query, rows = values(9, 4), values(10, 3, 4)
    with pytest.raises(ValueError, match="the query has 4 values, the rows have 3"):
        topk_cosine(query, rows[:, :3], 1)
    with pytest.raises(ValueError, match="k must not be negative"):
        topk_cosine(query, rows, -1)
    with pytest.raises(ValueError, match="threads must be at least 1"):
        topk_cosine(query, rows, 1, threads=0)
    with pytest.raises(ValueError, match="no instruction set 'mmx'"):
        topk_cosine(query, rows, 1, isa="mmx")
    with pytest.raises(TypeError):
        topk_cosine(query.astype(np.float64), rows, 1)  # type: ignore[arg-type]
