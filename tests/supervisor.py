"""A service manager that speaks the notify protocol of sd_notify(3): it only listens."""

from __future__ import annotations

import socket
from pathlib import Path

WAIT_S = 120
"""How long a test waits for a service to say something before it fails."""


class Supervisor:
    """Its socket, and what was said on it."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def environment(self, watchdog_s: float) -> dict[str, str]:
        """What a service is started with."""
        return {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}

    def heard(self, seconds: float = WAIT_S) -> list[str]:
        """The lines of the next datagram. Raises TimeoutError when none comes within that."""
        self._socket.settimeout(seconds)
        return self._socket.recv(65_536).decode().splitlines()

    def waiting(self) -> list[str]:
        """The lines of every datagram that is here already."""
        lines = []
        self._socket.settimeout(0)
        while True:
            try:
                lines += self._socket.recv(65_536).decode().splitlines()
            except BlockingIOError:
                return lines

    def until(self, start: str) -> list[str]:
        """Every line up to the first that begins so, which is the last."""
        lines: list[str] = []
        while not any(line.startswith(start) for line in lines):
            lines += self.heard()
        return lines
