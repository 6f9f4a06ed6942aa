"""Sizes with units: what is written is understood, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.errors import ConfigError
from omnilive.plan.sizes import MOST_BYTES, UNITS, format_bytes, parse_bytes


@given(st.integers(1, 1000), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " ", "  "]))
def test_a_size_is_its_number_times_its_unit_in_any_case(
    number: int, unit: str, space: str
) -> None:
    if number * UNITS[unit] > MOST_BYTES:
        return
    for spelled in (unit, unit.upper()):
        assert parse_bytes(f"{number}{space}{spelled}", where="x") == number * UNITS[unit]


@pytest.mark.parametrize(
    ("text", "count"), [("8GiB", 8 * 2**30), ("6.5 GB", 6_500_000_000), ("512m", None), ("7", 7)]
)
def test_binary_and_decimal_units_are_told_apart(text: str, count: int | None) -> None:
    if count is None:
        with pytest.raises(ConfigError, match="512m"):
            parse_bytes(text, where="x")
    else:
        assert parse_bytes(text, where="x") == count


@given(st.text(max_size=8))
def test_any_text_is_a_size_or_is_refused_with_its_place(text: str) -> None:
    try:
        assert 1 <= parse_bytes(text, where="memory_budget.host") <= MOST_BYTES
    except ConfigError as e:
        assert e.where == "memory_budget.host"


@given(st.integers(0, MOST_BYTES))
def test_what_is_shown_is_within_a_tenth_of_its_unit(count: int) -> None:
    number, unit = format_bytes(count).split()
    assert abs(float(number) * UNITS[unit.lower()] - count) <= 0.051 * UNITS[unit.lower()] + 0.5
