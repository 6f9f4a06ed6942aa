from __future__ import annotations

import pytest

import child_work
from omnilive.errors import BuildError, PackError
from omnilive_export.child import ChildCrashError, Work, run_in_child


def test_messages_come_in_order_and_the_result_last() -> None:
    messages: list[tuple[str, object]] = []
    result = run_in_child(
        child_work.add, (2, 3), lambda kind, content: messages.append((kind, content)), where="x"
    )
    assert messages == [("adding", (2, 3))]
    assert result == 5


def run(work: Work) -> object:
    return run_in_child(work, (), lambda kind, content: None, where="engines/micro")


def test_an_error_for_the_user_keeps_its_class_and_words() -> None:
    with pytest.raises(PackError) as raised:
        run(child_work.refuse)
    assert str(raised.value) == "here: is odd. Mend it."


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ChildCrashError, match=r"(?s)child_work\.py.*ZeroDivisionError: a bug"):
        run(child_work.fail)


def test_a_killed_child_is_reported_with_its_signal() -> None:
    with pytest.raises(BuildError, match=r"was ended \(SIGKILL\)") as raised:
        run(child_work.vanish)
    assert raised.value.where == "engines/micro"


def test_a_child_that_just_ends_is_reported_with_its_code() -> None:
    with pytest.raises(BuildError, match=r"was ended \(exit code 3\)"):
        run(child_work.leave)
