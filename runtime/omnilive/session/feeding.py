"""Feeding: hands over what a source gives, each item when its time has come. It drops nothing.

The loop never waits for the source: while the next item is not there yet, jobs and timers go on
in real time, and virtual time stands still.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from omnilive.lanes import Lane, Lanes
from omnilive.sources.prefetch import Prefetch
from omnilive.sources.types import Frame, Pcm, SourceWarning

JOBS_PER_ITEM = 4
"""Most jobs one item may bring to the listen lane: a block of 100 ms ends at most four chunks of
the VAD, and each begins or ends at most one part of an utterance."""

Item = Frame | Pcm | SourceWarning


class Feeder:
    """Gives items to ``deliver`` on the loop, in order and never early; runs on the loop.

    While the listen lane lacks room for an item's jobs, the source waits.
    """

    def __init__(
        self,
        lanes: Lanes,
        items: Prefetch[Item],
        frame_period_us: int,
        deliver: Callable[[Item], None],
        finish: Callable[[int], None],
        *,
        paced: bool = True,
    ) -> None:
        """Prepare to feed.

        Args:
            lanes: whose time and room decide.
            items: read ahead in a thread of their own; closing them is the caller's part.
            frame_period_us: how long a frame is shown: the stream goes on that long after it.
            deliver: takes an item at its time: a block of sound at its end.
            paced: whether an item waits for its time; what comes live has come at its time.
            finish: called once, when the stream has ended, with its length in microseconds.
        """
        self._lanes = lanes
        self._items = items
        self._period_us = frame_period_us
        self._deliver = deliver
        self._finish = finish
        self._paced = paced
        self._duration_us = 0

    def next(self) -> None:
        """Begin with the next item; the ones after it follow by themselves."""
        self._items.when_ready(self._lanes.expect(self._take))

    def _take(self) -> None:
        item = self._items.take()
        if item is None:
            self._at(self._duration_us, partial(self._finish, self._duration_us))
            return
        due_us = item.end_us if isinstance(item, Pcm) else item.pts_us
        shown_us = self._period_us if isinstance(item, Frame) else 0
        self._duration_us = max(self._duration_us, due_us + shown_us)
        self._at(due_us, partial(self._hand_over, item))

    def _at(self, due_us: int, callback: Callable[[], None]) -> None:
        self._lanes.at(due_us if self._paced else min(due_us, self._lanes.now_us()), callback)

    def _hand_over(self, item: Item) -> None:
        self._deliver(item)
        self._lanes.when_room(Lane.LISTEN, self.next, JOBS_PER_ITEM)
