"""Keeps a device from lowering its clocks between frames that come seldom.

At one frame a second a GPU's governor sees an idle device and lowers its clocks, and each frame
then begins on a slow one. A little work in between shows it a busy device. Locking the clocks
(``jetson_clocks``, ``nvidia-smi --lock-gpu-clocks``) does it better, but takes root.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from omnilive.backends.cuda import DeviceBuffer, Event, Stream
from omnilive.clock import Clock
from omnilive.errors import EngineError

PIECE_BYTES = 1 << 20
"""Device memory that a piece of work sets to zero: some ten microseconds of a device."""

_LOG = logging.getLogger(__name__)


class KeepAlive:
    """Gives an idle device a piece of work now and then, for a while after the last real one.

    Its stream has the lowest priority and is nobody else's: no lane waits behind a piece.

    Args:
        idle_us: a piece is given when there was no work for so long.
        limit_us: no piece is given when there was no real work for so long: the source is paused.
        busy: whether the device has real work that it has not finished.
        clock: of both.
    """

    def __init__(
        self, idle_us: int, limit_us: int, *, busy: Callable[[], bool], clock: Clock
    ) -> None:
        self._idle_us = idle_us
        self._limit_us = limit_us
        self._busy = busy
        self._clock = clock
        self._worked_us = clock.now_us()
        self._given_us = self._worked_us
        self._paused = False
        self._closed = False
        self._stream: Stream | None = None
        self._buffer: DeviceBuffer | None = None
        self._piece: Event | None = None
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="keep-alive", daemon=True)

    def start(self, priority: int) -> None:
        """Make the stream, of ``priority``, and begin. Raises EngineError without a device."""
        self._stream, self._buffer = Stream(priority), DeviceBuffer(PIECE_BYTES)
        self._thread.start()

    def worked(self) -> None:
        """Note that the device was given real work now; any thread may call it."""
        self._worked_us = self._clock.now_us()
        if self._paused:
            self._wake.set()

    def tick(self) -> int | None:
        """Give the device a piece when one is due.

        Returns:
            Microseconds until the next one may be due; None while the source is paused.

        Raises:
            EngineError: the device has failed.
        """
        # Before the time is read: work that comes in between wakes the thread.
        self._paused = True
        now_us = self._clock.now_us()
        if now_us - self._worked_us >= self._limit_us:
            return None
        self._paused = False
        left_us = max(self._worked_us, self._given_us) + self._idle_us - now_us
        if left_us > 0:
            return left_us
        self._given_us = now_us
        if not self._busy() and (self._piece is None or self._piece.reached):
            self._give()
        return self._idle_us

    def close(self) -> None:
        """Stop; afterwards no piece is given."""
        self._closed = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _give(self) -> None:
        assert self._stream is not None and self._buffer is not None
        self._stream.clear(self._buffer)
        self._piece = self._stream.record()

    def _serve(self) -> None:
        try:
            while not self._closed:
                self._wake.clear()
                wait_us = self.tick()
                if not self._closed:
                    self._wake.wait(None if wait_us is None else wait_us / 1e6)
        except EngineError as e:
            # The engines meet the same failure, and say what it means for the run.
            _LOG.warning("omnilive: the device is not kept awake any more: %s", e)
