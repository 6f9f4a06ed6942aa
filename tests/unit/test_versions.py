"""Versions as numbers: they compare as versions do, whatever follows the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.versions import release

NUMBERS = st.lists(st.integers(0, 99), min_size=1, max_size=4)


def text(numbers: list[int]) -> str:
    return ".".join(map(str, numbers))


@given(NUMBERS, NUMBERS)
def test_versions_compare_as_their_numbers_do(one: list[int], other: list[int]) -> None:
    assert (release(text(one)) < release(text(other))) == (one < other)


@given(NUMBERS, st.sampled_from(["", ".dev2", "rc1", "+cu13", ".post1", "-beta"]))
def test_what_follows_the_numbers_does_not_count(numbers: list[int], rest: str) -> None:
    assert release(text(numbers) + rest) == tuple(numbers)


@pytest.mark.parametrize("odd", ["", "unknown", "v1.2", ".5"])
def test_a_text_that_begins_with_no_number_is_no_version(odd: str) -> None:
    assert release(odd) == ()
