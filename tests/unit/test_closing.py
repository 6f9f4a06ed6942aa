"""Closing: every step is taken, and the first error is the one that is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from omnilive.closing import Closers


def failing(error: BaseException) -> Callable[[], None]:
    def step() -> None:
        raise error

    return step


def test_steps_are_taken_the_last_added_first() -> None:
    log: list[str] = []
    with Closers() as closers:
        for name in "abc":
            closers.add(lambda name=name: log.append(name))  # type: ignore[misc]
        assert log == []
    assert log == ["c", "b", "a"]


def test_the_error_of_the_block_wins_and_every_step_is_taken() -> None:
    log: list[str] = []
    with pytest.raises(KeyError, match="first") as caught, Closers() as closers:
        closers.add(lambda: log.append("closed"))
        closers.add(failing(OSError("second")))
        closers.add(failing(ValueError("third")))
        raise KeyError("first")
    assert log == ["closed"]
    assert caught.value.__notes__ == ["then: ValueError: third", "then: OSError: second"]


def test_without_an_error_in_the_block_the_first_failing_step_wins() -> None:
    log: list[str] = []
    with pytest.raises(OSError, match="first") as caught, Closers() as closers:
        closers.add(lambda: log.append("closed"))
        closers.add(failing(ValueError("second")))
        closers.add(failing(OSError("first")))
    assert log == ["closed"]
    assert caught.value.__notes__ == ["then: ValueError: second"]


def test_an_interruption_is_not_hidden_by_a_failing_step() -> None:
    with pytest.raises(KeyboardInterrupt), Closers() as closers:
        closers.add(failing(OSError("later")))
        raise KeyboardInterrupt


def test_an_interruption_of_one_step_does_not_skip_the_others() -> None:
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt), Closers() as closers:
        closers.add(lambda: log.append("closed"))
        closers.add(failing(KeyboardInterrupt()))
    assert log == ["closed"]


def test_a_manager_is_entered_at_once_and_left_at_its_turn() -> None:
    log: list[str] = []

    @contextmanager
    def manager() -> Iterator[str]:
        log.append("entered")
        yield "value"
        log.append("left")

    with Closers() as closers:
        closers.add(lambda: log.append("before"))
        assert closers.enter(manager()) == "value"
        assert log == ["entered"]
    assert log == ["entered", "left", "before"]
