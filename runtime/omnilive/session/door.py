"""The door of a running session: other threads hand actions to its loop. It decides nothing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from omnilive.lanes import Lanes

Action = Callable[[], None]

MOST_WAITING = 1_024
"""Actions that may wait for the loop; what comes beyond is refused."""


class Door:
    """Runs actions on the loop, in order. While it is open the loop does not end."""

    def __init__(self, lanes: Lanes) -> None:
        """Closed at first."""
        self._lanes = lanes
        self._lock = threading.Lock()
        self._waiting: deque[Action] = deque()
        self._ring: Action | None = None
        self._open = False

    def open(self) -> None:
        """Let actions in; on the loop's thread."""
        with self._lock:
            self._open = True
        self._listen()

    def close(self) -> None:
        """Refuse actions from now on, and let the loop end; on the loop's thread."""
        with self._lock:
            self._open = False
            ring, self._ring = self._ring, None
        if ring is not None:
            ring()

    def post(self, action: Action) -> bool:
        """Have ``action`` run on the loop soon; from any thread.

        Returns:
            Whether it will be: not when the session does not run, or ``MOST_WAITING`` wait.
        """
        with self._lock:
            if not self._open or len(self._waiting) == MOST_WAITING:
                return False
            self._waiting.append(action)
            ring, self._ring = self._ring, None
        if ring is not None:
            ring()
        return True

    def _listen(self) -> None:
        ring = self._lanes.expect(self._answer)
        with self._lock:
            waits = bool(self._waiting) or not self._open
            if not waits:
                self._ring = ring
        if waits:
            ring()

    def _answer(self) -> None:
        while True:
            with self._lock:
                action = self._waiting.popleft() if self._waiting else None
                still_open = self._open
            if action is None:
                break
            action()
        if still_open:
            self._listen()
