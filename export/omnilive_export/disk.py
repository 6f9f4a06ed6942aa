"""What the disk can refuse while a pack is written, as one clear error each.

It never frees anything.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omnilive.errors import BuildError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EIO,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.EFBIG,
)
_SLACK_BYTES = 16 << 20
"""Room for models, tokenizers, the manifest and alignment beside the weights."""


def check_space(nbytes: int, folder: Path, out: Path) -> None:
    """Refuse to begin what cannot fit.

    Args:
        nbytes: size of the weights and tables to be written.
        folder: an existing folder on the disk they will lie on.
        out: the pack, for the error.

    Raises:
        BuildError: the disk has less free.
    """
    needed = nbytes + _SLACK_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise _full(out, f"{_gib(needed)} are needed, {_gib(free)} are free")


@contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Turn a full or refusing disk, wherever it shows, into a BuildError."""
    try:
        yield
    except OSError as e:
        if e.errno in _FULL:
            raise _full(out, "the disk became full while writing") from e
        if e.errno in _REFUSED:
            raise BuildError(
                f"cannot be built ({e.strerror}: {e.filename})",
                where=str(out),
                mend="Check the permissions and the disk; a pack that was there is untouched.",
            ) from e
        raise


def _full(out: Path, what: str) -> BuildError:
    return BuildError(
        f"not enough disk space: {what}",
        where=str(out),
        mend="Free some, or choose --out on another disk; a pack that was there is untouched.",
    )


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.2f} GiB"
