"""The folder of a pack while it is built: filled beside its place, renamed into it at the end.

Whenever a build dies, the pack that was there before is whole. It never looks inside a pack.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omnilive.engine.manifest import MANIFEST_NAME
from omnilive.errors import BuildError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
"""What the kernel or file system answers when it cannot exchange two names at once."""


def check_target(out: Path) -> None:
    """Refuse to replace anything but an engine pack or an empty folder.

    Raises:
        BuildError: ``out`` exists and is something else.
    """
    if not out.exists() or (out / MANIFEST_NAME).is_file():
        return
    if out.is_dir() and not any(out.iterdir()):
        return
    raise BuildError(
        "exists and is not an engine pack",
        where=str(out),
        mend="Choose another --out, or move what is there away.",
    )


@contextmanager
def partial_pack(out: Path, *, waiting: Callable[[], None]) -> Iterator[Path]:
    """An empty folder beside ``out`` to build in; call ``publish`` before leaving.

    One builder at a time holds the lock of a pack, so whatever unfinished folder is found under
    the lock belongs to a dead builder and is removed.

    Args:
        out: where the pack will be.
        waiting: called once if another build of this pack is running, before waiting for it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with _lock(out, waiting):
        _recover(out)
        folder = out.with_name(f".{out.name}.partial-{os.getpid()}")
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, out: Path) -> None:
    """Put the finished ``folder`` in the place of ``out``; a pack that was there is removed."""
    _sync_tree(folder)
    if not out.exists() or not any(out.iterdir()):
        folder.rename(out)
    elif not _exchange(folder, out):
        old = _old_name(out)
        out.rename(old)
        folder.rename(out)
        shutil.rmtree(old)
    _sync(out.parent)


@contextmanager
def _lock(out: Path, waiting: Callable[[], None]) -> Iterator[None]:
    path = out.with_name(f".{out.name}.lock")
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    waiting()
                    told = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_still(path, descriptor):
                # Its last holder removed the file while we waited: the lock is another file now.
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _recover(out: Path) -> None:
    """Undo what a dead builder left: put an old pack back, remove unfinished folders."""
    old = _old_name(out)
    if old.exists():
        if out.exists():
            shutil.rmtree(old)
        else:
            old.rename(out)
    for stale in out.parent.glob(f".{out.name}.partial-*"):
        shutil.rmtree(stale, ignore_errors=True)


def _old_name(out: Path) -> Path:
    return out.with_name(f".{out.name}.old")


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two names in one step; False where the system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        call = libc.renameat2
    except AttributeError:
        return False
    if not call(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE):
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(b))


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
