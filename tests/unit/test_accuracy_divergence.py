from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from omnilive_export.accuracy.divergence import kl_divergence, top1_agreement

pairs = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(
    lambda shape: st.tuples(
        *[hnp.arrays(np.float32, shape, elements=st.floats(-50, 50, width=32))] * 2
    )
)


@given(pairs)
def test_the_divergence_is_what_its_definition_says(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = (
        np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum(1)[:, None] for x in pair
    )
    expected = np.mean(
        [
            sum(a * math.log(a / b) for a, b in zip(r, s, strict=True))
            for r, s in zip(p, q, strict=True)
        ]
    )
    assert kl_divergence(*pair) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert kl_divergence(*pair) >= 0


@given(pairs, st.floats(-1e3, 1e3))
def test_a_model_agrees_with_itself_whatever_constant_its_logits_carry(
    pair: tuple[np.ndarray, np.ndarray], constant: float
) -> None:
    logits = pair[0].astype(np.float64)
    assert kl_divergence(logits, logits + constant) == pytest.approx(0, abs=1e-9)
    assert top1_agreement(logits, logits) == 1


def test_top1_agreement_counts_rows() -> None:
    reference = np.eye(4)
    assert top1_agreement(reference, reference[[0, 1, 3, 2]]) == 0.5


def test_logits_far_from_zero_do_not_overflow() -> None:
    logits = np.array([[1e4, -1e4, 0.0]])
    assert kl_divergence(logits, logits[:, ::-1]) == pytest.approx(1e4)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_infinitely_far(odd: float) -> None:
    logits = np.zeros((2, 3))
    bent = logits.copy()
    bent[1, 1] = odd
    assert kl_divergence(logits, bent) == math.inf
    with pytest.raises(ValueError, match="reference"):
        kl_divergence(bent, logits)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((3,), (3,)), ((0, 3), (0, 3))])
@pytest.mark.parametrize("measure", [kl_divergence, top1_agreement])
def test_what_cannot_be_compared_is_refused(measure, shapes) -> None:
    with pytest.raises(ValueError, match=r"shape|no row"):
        measure(*map(np.zeros, shapes))
