"""Keeps frames as JPEG files under a byte quota and an age limit, oldest out first.

It holds a picture in memory only until it is written, and never loses one that the limits allow.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from omnilive import _native
from omnilive.errors import OutputError
from omnilive.memory.clip import Keyframe
from omnilive.memory.config import KeyframeConfig
from omnilive.sources.types import US_PER_SECOND

_NAME = re.compile(r"kf-(\d{15})\.jpg")
_PART = ".part"

U8 = npt.NDArray[np.uint8]


def keyframe_id(pts_us: int) -> str:
    """The id of the keyframe at ``pts_us``: sorts by time, the same in every run."""
    return f"kf-{pts_us:015d}"


def scaled_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    """(width, height) within ``max_side`` at the same aspect, never enlarged, 1 at least."""
    longest = max(width, height)
    if longest <= max_side:
        return width, height
    return (
        max(1, (width * max_side + longest // 2) // longest),
        max(1, (height * max_side + longest // 2) // longest),
    )


class KeyframeStore:
    """The keyframes in one folder. Safe to use from several threads.

    Keyframes already in the folder are taken over as the oldest, so the quota holds across runs.
    A picture is written beside and renamed, then older ones go, so that a failed write loses
    nothing; the quota is exceeded by at most the picture being written.

    Raises:
        OutputError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path, config: KeyframeConfig) -> None:
        self._folder = folder
        self._config = config
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        self._newest_us = 0
        self._size = (0, 0)
        self._unwritten: dict[str, tuple[int, U8]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._taking = threading.Lock()  # held for no longer than it takes to look
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="keyframes")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.iterdir()):
                if path.name.endswith(_PART):
                    path.unlink()
                elif _NAME.fullmatch(path.name):
                    self._insert(path.stem, path.stat().st_size)
            self._evict()
        except OSError as e:
            raise self._error(e, folder) from e

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, key: str) -> bool:
        """Whether ``get`` would look for the file: it was kept and not evicted since."""
        return key in self._sizes or key in self._unwritten

    def take(self, pts_us: int, rgb: U8) -> Keyframe:
        """Take one frame on: ``get`` gives it from now on, whoever writes it first.

        It waits for no disk.

        Args:
            pts_us: its stream time, microseconds; a frame of the same time is replaced.
            rgb: uint8 [h, w, 3]; stays as it is until it is written, which is to be seen to soon.

        Returns:
            Its id, valid for ``get`` until it is evicted, and its stored size.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"a frame is uint8 [h, w, 3], not {rgb.dtype} {rgb.shape}")
        key = keyframe_id(pts_us)
        size = scaled_size(rgb.shape[1], rgb.shape[0], self._config.max_side)
        with self._taking:
            self._unwritten[key] = pts_us, rgb
            if size != self._size:
                self._size = size  # one pair for all frames that have it: there are many
            return Keyframe(key, *self._size)

    def write(self, key: str) -> None:
        """Write what was taken on up to ``key``, then evict what the limits no longer allow.

        Raises:
            OutputError: it could not be written; the keyframes already there are kept.
        """
        with self._writing:
            while (unwritten := self._oldest_unwritten(key)) is not None:
                first, frame = unwritten
                try:
                    self._write_frame(first, *frame)
                finally:
                    with self._taking:
                        if self._unwritten[first] is frame:  # or another came in its place
                            del self._unwritten[first]

    def write_soon(self, key: str, done: Callable[[], None]) -> Future[None]:
        """Have ``write`` done by a thread of the store, which calls ``done`` after it."""
        written = self._writer.submit(self.write, key)
        written.add_done_callback(lambda _: done())
        return written

    def close(self) -> None:
        """End that thread: what it has begun is written, what waits for it is not."""
        self._writer.shutdown(cancel_futures=True)

    def put(self, pts_us: int, rgb: U8) -> Keyframe:
        """Keep one frame, then evict what the limits no longer allow.

        Args:
            pts_us: its stream time, microseconds; a frame of the same time is replaced.
            rgb: uint8 [h, w, 3].

        Returns:
            Its id, valid for ``get`` until it is evicted, and its stored size.

        Raises:
            OutputError: it could not be written; the keyframes already there are kept.
        """
        keyframe = self.take(pts_us, rgb)
        self.write(keyframe.id)
        return keyframe

    def _oldest_unwritten(self, key: str) -> tuple[str, tuple[int, U8]] | None:
        """What is to be written first, as long as ``key`` is not written."""
        with self._taking:
            return next(iter(self._unwritten.items())) if key in self._unwritten else None

    def _write_frame(self, key: str, pts_us: int, rgb: U8) -> None:
        jpeg = self._encode(rgb)
        with self._lock:
            self._write(self._path(key), jpeg)
            self._forget(key)
            self._insert(key, len(jpeg))
            self._newest_us = max(self._newest_us, pts_us)
            try:
                self._evict()
            except OSError as e:
                raise self._error(e, self._folder) from e

    def get(self, key: str) -> U8 | None:
        """The frame uint8 [h, w, 3] at its stored size, or None once it is gone.

        Raises:
            OutputError: it could not be read, or had yet to be written and could not be.
        """
        self.write(key)
        with self._lock:
            if key not in self._sizes:
                return None
            try:
                jpeg = self._path(key).read_bytes()
            except FileNotFoundError:
                self._forget(key)
                return None
            except OSError as e:
                raise self._error(e, self._path(key)) from e
        try:
            with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
                return np.asarray(image.convert("RGB"))
        except OSError:
            # A file damaged from outside is as good as evicted.
            return None

    def clear(self) -> None:
        """Delete every keyframe: a new stream begins at time 0 again.

        Raises:
            OutputError: one could not be deleted.
        """
        with self._writing, self._lock:
            with self._taking:
                self._unwritten.clear()
            try:
                for key in tuple(self._sizes):
                    self._path(key).unlink(missing_ok=True)
                    self._forget(key)
            except OSError as e:
                raise self._error(e, self._folder) from e
            self._newest_us = 0

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.jpg"

    def _encode(self, rgb: U8) -> bytes:
        width, height = scaled_size(rgb.shape[1], rgb.shape[0], self._config.max_side)
        image = Image.fromarray(_native.resize_rgb(rgb, height, width))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=self._config.quality)
        return buffer.getvalue()

    def _write(self, path: Path, jpeg: bytes) -> None:
        part = path.with_name(path.name + _PART)
        try:
            part.write_bytes(jpeg)
            os.replace(part, path)
        except OSError as e:
            with contextlib.suppress(OSError):  # the first failure is the one to tell
                part.unlink(missing_ok=True)
            raise self._error(e, path) from e

    def _insert(self, key: str, size: int) -> None:
        self._sizes[key] = size
        self._bytes += size

    def _forget(self, key: str) -> None:
        self._bytes -= self._sizes.pop(key, 0)

    def _evict(self) -> None:
        """Drop from the oldest on until quota and age hold. Raises OSError."""
        horizon_us = self._newest_us - round(self._config.max_age_s * US_PER_SECOND)
        while self._sizes:
            oldest = next(iter(self._sizes))
            too_old = int(oldest.removeprefix("kf-")) < horizon_us
            if not too_old and self._bytes <= self._config.quota_bytes:
                return
            self._path(oldest).unlink(missing_ok=True)
            self._forget(oldest)

    def _error(self, error: OSError, path: Path) -> OutputError:
        return OutputError(
            f"could not be written or read ({error.strerror or error})",
            where=str(path),
            mend=(
                "Free space, lower keyframes.quota_bytes or name another folder;"
                f" the {len(self._sizes)} keyframes already there are kept."
            ),
        )
