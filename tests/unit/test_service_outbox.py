"""The outbox: what a client that reads, comes back, or reads slowly gets."""

from __future__ import annotations

import asyncio
import gc
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.service.outbox import Outbox, SlowReaderError


def numbers(outbox: Outbox) -> list[int]:
    """Numbers of the texts that wait for the reader."""

    async def read() -> list[int]:
        outbox.close()
        found = []
        while (message := await outbox.next()) is not None:
            if isinstance(message, str):
                found.append(json.loads(message)["seq"])
        return found

    return asyncio.run(read())


@given(
    before=st.integers(0, 30), missed=st.integers(0, 30), kept=st.integers(1, 40), data=st.data()
)
def test_a_client_that_comes_back_gets_what_it_missed_once_and_in_order(
    before: int, missed: int, kept: int, data: st.DataObject
) -> None:
    outbox = Outbox(kept, 1 << 20)
    outbox.connect(0)
    for _ in range(before):
        outbox.say("event")
    has = data.draw(st.integers(0, before))
    outbox.disconnect()
    for _ in range(missed):
        outbox.say("event")
        outbox.say_sound(b"stale sound", 1)
    lost = outbox.connect(has)
    outbox.say("event")
    last = before + missed + 1
    wanted = list(range(has + 1, last + 1))
    assert numbers(outbox) == wanted[lost:]
    assert lost == max(0, before + missed - kept - has)


def test_sound_waits_in_its_place_among_the_texts() -> None:
    async def read() -> list[object]:
        outbox = Outbox(10, 1 << 20)
        outbox.connect(0)
        outbox.say("event", event={"id": 1})
        outbox.say_sound(b"sound", 1)
        outbox.say("ended")
        outbox.close()
        return [await outbox.next() for _ in range(4)]

    first, sound, last, end = asyncio.run(read())
    assert json.loads(str(first)) == {"type": "event", "seq": 1, "event": {"id": 1}}
    assert (sound, json.loads(str(last))["seq"], end) == (b"sound", 2, None)


def test_a_reader_that_lets_too_much_wait_is_cut_off_and_may_come_back() -> None:
    async def act() -> list[int]:
        outbox = Outbox(3, 2_000)
        outbox.connect(0)
        for _ in range(100):
            outbox.say("event", text="x" * 50)
            assert outbox.unsent_bytes <= 2_000
        with pytest.raises(SlowReaderError):
            await outbox.next()
        outbox.disconnect()
        outbox.connect(outbox.last_number - 2)
        return [json.loads(str(await outbox.next()))["seq"] for _ in range(2)]

    assert asyncio.run(act()) == [99, 100]


@given(st.lists(st.text(max_size=60), min_size=1, max_size=60), st.integers(1, 20))
def test_what_is_kept_is_told_as_the_memory_it_takes(words: list[str], kept: int) -> None:
    outbox = Outbox(kept, 4_000)
    for word in words:
        outbox.say("event", word=word)
    outbox.connect(0)  # what is kept waits again
    held = [entry for entry in gc.get_referents(outbox._kept) if isinstance(entry, tuple)]
    parts = sum(sys.getsizeof(entry) + sum(map(sys.getsizeof, entry)) for entry in held)
    assert 0 < len(held) <= kept
    assert outbox.kept_bytes == pytest.approx(parts, rel=0.05)


def test_what_is_kept_never_exceeds_what_may_wait() -> None:
    outbox = Outbox(10_000, 4_000)
    for _ in range(500):
        outbox.say("event", text="x" * 100)
    assert outbox.connect(0) > 400
    assert len(numbers(outbox)) >= 1


def test_a_waiting_reader_is_woken_by_a_message_and_by_the_end() -> None:
    async def act() -> tuple[object, object]:
        outbox = Outbox(10, 1 << 20)
        outbox.connect(0)
        reader = asyncio.ensure_future(outbox.next())
        await asyncio.sleep(0)
        outbox.say_sound(b"sound", 1)
        first = await reader
        reader = asyncio.ensure_future(outbox.next())
        await asyncio.sleep(0)
        outbox.close()
        return first, await reader

    assert asyncio.run(act()) == (b"sound", None)


@given(
    said=st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=40),
    stopped=st.integers(1, 5),
    read=st.integers(0, 40),
)
def test_sound_of_a_stopped_answer_that_waits_is_not_sent_and_no_text_is_missing(
    said: list[int | None], stopped: int, read: int
) -> None:
    async def act() -> tuple[list[object], list[object]]:
        outbox = Outbox(100, 1 << 20)
        outbox.connect(0)
        for generation in said:
            if generation is None:
                outbox.say("event")
            else:
                outbox.say_sound(bytes([generation]), generation)
        before = [await outbox.next() for _ in range(min(read, len(said)))]
        outbox.drop_sound(stopped)
        outbox.close()
        after = []
        while (message := await outbox.next()) is not None:
            after.append(message)
        assert outbox.unsent_bytes == 0
        return before, after

    before, after = asyncio.run(act())
    texts = [json.loads(m)["seq"] for m in [*before, *after] if isinstance(m, str)]
    assert texts == list(range(1, said.count(None) + 1))
    sound = [g for g in said[len(before) :] if g is not None and g > stopped]
    assert [m for m in after if isinstance(m, bytes)] == [bytes([g]) for g in sound]


def test_a_client_that_comes_back_after_sound_was_dropped_misses_no_number() -> None:
    outbox = Outbox(10, 1 << 20)
    outbox.connect(0)
    outbox.say("event")
    outbox.say_sound(b"stale", 1)
    outbox.drop_sound(1)
    outbox.say("event")
    assert outbox.connect(1) == 0
    assert numbers(outbox) == [2]


def test_sound_that_is_dropped_makes_room_for_what_follows() -> None:
    async def act() -> object:
        outbox = Outbox(10, 2_000)
        outbox.connect(0)
        outbox.say_sound(bytes(1_500), 1)
        outbox.drop_sound(1)
        outbox.say_sound(bytes(1_500), 2)
        return await outbox.next()

    assert asyncio.run(act()) == bytes(1_500)
