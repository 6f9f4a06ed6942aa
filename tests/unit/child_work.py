"""Functions that the tests of omnilive_export.child run in a process of their own."""

from __future__ import annotations

import os
import signal

from omnilive.errors import PackError
from omnilive_export.child import Send


def add(send: Send, a: int, b: int) -> int:
    """Tells what it adds, then the sum."""
    send("adding", (a, b))
    return a + b


def refuse(send: Send) -> None:
    """Raises an error meant for the user."""
    raise PackError("is odd", where="here", mend="Mend it.")


def fail(send: Send) -> None:
    """Raises what is a bug."""
    raise ZeroDivisionError("a bug")


def vanish(send: Send) -> None:
    """Is killed, as by the system when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave(send: Send) -> None:
    """Ends without a result."""
    os._exit(3)
