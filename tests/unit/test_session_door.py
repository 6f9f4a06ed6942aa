"""Actions of other threads run on the loop, in order, while the session lets them in."""

from __future__ import annotations

import threading

from omnilive.lanes import ThreadLanes
from omnilive.session.door import MOST_WAITING, Door


def test_a_closed_door_refuses() -> None:
    lanes = ThreadLanes()
    door = Door(lanes)
    assert not door.post(lambda: None)
    door.open()
    door.close()
    assert not door.post(lambda: None)
    lanes.run()


def test_actions_of_many_threads_run_on_the_loop_in_each_threads_order() -> None:
    lanes = ThreadLanes()
    door = Door(lanes)
    done: list[tuple[int, int]] = []
    ran_on: set[int] = set()

    def act(thread: int) -> None:
        for i in range(50):
            assert door.post(lambda i=i: take(thread, i))  # type: ignore[misc]

    def take(thread: int, i: int) -> None:
        done.append((thread, i))
        ran_on.add(threading.get_ident())
        if len(done) == 200:
            door.close()

    door.open()
    threads = [threading.Thread(target=act, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    lanes.run()  # ends only because the door closes
    for thread in threads:
        thread.join()
    assert ran_on == {threading.get_ident()}
    for t in range(4):
        assert [i for thread, i in done if thread == t] == list(range(50))


def test_what_an_action_posts_is_done_too() -> None:
    lanes = ThreadLanes()
    door = Door(lanes)
    done: list[str] = []

    def first() -> None:
        done.append("first")
        assert door.post(second)

    def second() -> None:
        done.append("second")
        door.close()

    door.open()
    assert door.post(first)
    lanes.run()
    assert done == ["first", "second"]


def test_more_than_the_limit_is_refused_until_the_loop_has_caught_up() -> None:
    lanes = ThreadLanes()
    door = Door(lanes)
    done: list[int] = []
    door.open()
    posted = [door.post(lambda: done.append(1)) for _ in range(MOST_WAITING + 1)]
    assert posted == [True] * MOST_WAITING + [False]
    lanes.at(0, door.close)
    lanes.run()
    assert len(done) == MOST_WAITING
