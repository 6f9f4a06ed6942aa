"""Tells the service manager what this process is doing. It never waits and never fails for that.

The protocol of sd_notify(3): one datagram of lines to the socket named by NOTIFY_SOCKET.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

NOTIFY_SOCKET = "NOTIFY_SOCKET"
WATCHDOG_USEC, WATCHDOG_PID = "WATCHDOG_USEC", "WATCHDOG_PID"


def watchdog_s(environment: Mapping[str, str] | None = None) -> float | None:
    """Seconds within which the service manager wants to hear ``WATCHDOG=1``, or it steps in.

    Args:
        environment: of sd_watchdog_enabled(3); the process's own when None.

    Returns:
        None when it does not watch this process.
    """
    named = os.environ if environment is None else environment
    microseconds = named.get(WATCHDOG_USEC, "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if named.get(WATCHDOG_PID, str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6


def notify(*lines: str, environment: Mapping[str, str] | None = None) -> bool:
    """Send ``lines`` such as ``STATUS=building``, each without a line break.

    Args:
        lines: assignments of sd_notify(3).
        environment: names the socket; the process's own when None.

    Returns:
        Whether they were handed to a service manager.
    """
    path = (os.environ if environment is None else environment).get(NOTIFY_SOCKET, "")
    if not path.startswith(("/", "@")):
        return False
    address = "\0" + path[1:] if path.startswith("@") else path  # "@": the abstract namespace
    text = "\n".join(line.replace("\n", " ") for line in lines)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto(text.encode(), address)
    except OSError:
        return False  # a manager that is gone or too busy must not stop the work it watches
    return True
