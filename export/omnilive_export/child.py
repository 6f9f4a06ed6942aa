"""Runs one function in a process of its own and brings back its messages, result or error.

Memory of a build, and torch in a verification, end with that process. It never retries.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import omnilive.errors
from omnilive.errors import BuildError, OmniLiveError

Send = Callable[[str, Any], None]
"""Tells the parent: a kind of message and its picklable content."""

Work = Callable[..., Any]

_RESULT, _ERROR, _CRASH = "result", "error", "crash"


class ChildCrashError(RuntimeError):
    """An unexpected exception of the child: a bug, with the child's traceback as its text."""


def run_in_child(
    work: Work, arguments: tuple[Any, ...], on_message: Callable[[str, Any], None], *, where: str
) -> Any:
    """Call ``work(send, *arguments)`` in a spawned process and return its result.

    Args:
        work: a function at the top level of a module.
        arguments: picklable.
        on_message: given each message that ``work`` sends.
        where: what is being made, for the error when the process is killed.

    Raises:
        OmniLiveError: the one that ``work`` raised.
        BuildError: the process was killed.
        ChildCrashError: anything else that ``work`` raised.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, arguments), daemon=True)
    process.start()
    # The child's copy must be the only one: its end then shows as the end of the stream.
    sender.close()
    try:
        while True:
            kind, content = receiver.recv()
            if kind == _RESULT:
                return content
            if kind == _ERROR:
                raise _error(*content)
            if kind == _CRASH:
                raise ChildCrashError(content)
            on_message(kind, content)
    except EOFError:
        process.join()
        raise _killed(process.exitcode, where) from None
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        receiver.close()


def _child(sender: Connection, work: Work, arguments: tuple[Any, ...]) -> None:
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = work(lambda kind, content: sender.send((kind, content)), *arguments)
        sender.send((_RESULT, result))
    except BrokenPipeError:
        # The parent is gone: nobody is left to publish for.
        return
    except OmniLiveError as e:
        sender.send((_ERROR, (type(e).__name__, e.what, e.where, e.mend)))
    except Exception:
        sender.send((_CRASH, traceback.format_exc()))


def _error(name: str, what: str, where: str, mend: str) -> OmniLiveError:
    cls: type[OmniLiveError] = getattr(omnilive.errors, name)
    return cls(what, where=where, mend=mend)


def _killed(code: int | None, where: str) -> BuildError:
    how = f"exit code {code}"
    if code is not None and code < 0:
        how = signal.Signals(-code).name
    return BuildError(
        f"the build process was ended ({how})",
        where=where,
        mend="What was there before is untouched. If memory ran out, free some and build again.",
    )
