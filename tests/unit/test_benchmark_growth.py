"""The slope of memory over time: right where it is plain, and unsure where samples are alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth import growth


@given(st.floats(-50, 50), st.floats(0, 500), st.integers(3, 400))
def test_a_straight_line_has_its_slope_and_no_spread(
    slope: float, start: float, count: int
) -> None:
    times = np.linspace(0.1, 0.5, count)
    found = growth(times, start + slope * times)
    assert found.slope == pytest.approx(slope, abs=1e-6)
    assert found.spread < 1e-4


def test_the_interval_holds_the_slope_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    times = np.linspace(0, 0.5, 900)
    for alike in (0.0, 0.9):
        held = 0
        for _ in range(300):
            noise = rng.standard_normal(len(times))
            for index in range(1, len(noise)):
                noise[index] += alike * noise[index - 1]
            found = growth(times, 8 * times + noise)
            held += abs(found.slope - 8) <= found.spread
        assert 0.90 * 300 < held < 0.99 * 300


def test_values_that_stay_give_no_growth() -> None:
    found = growth([0, 1, 2, 3], [200.0] * 4)
    assert (found.slope, found.spread) == (pytest.approx(0), 0)


@pytest.mark.parametrize("times", [[0.0, 1.0], [1.0, 1.0, 1.0]])
def test_too_few_times_have_no_slope(times: list[float]) -> None:
    with pytest.raises(ValueError, match="three samples"):
        growth(times, times)
