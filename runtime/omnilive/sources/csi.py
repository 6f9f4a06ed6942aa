"""A CSI camera of a Jetson: GStreamer in a process of its own writes raw pictures into a pipe.

NVIDIA's camera stack is reached through GStreamer alone. A child process needs no bindings for
this Python, and what crashes or hangs in the camera's driver is ended with it.
"""

from __future__ import annotations

import math
import os
import re
import selectors
import shutil
import subprocess
import weakref
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from omnilive._native import resize_nv12
from omnilive.clock import MonotonicClock
from omnilive.errors import SourceError
from omnilive.sources.config import SourceConfig
from omnilive.sources.csi_camera import LAUNCHER, CsiCamera, launch_arguments, parse_csi
from omnilive.sources.types import Frame, MediaInfo, SourceWarning

INSTALL_LAUNCHER = "Install it: apt-get install gstreamer1.0-tools"
INSTALL_ELEMENTS = "Install it on a Jetson: apt-get install nvidia-l4t-gstreamer"

OVERSAMPLING = 4
"""Pictures asked for to one that is looked at: it lies this near to the time it is wanted for."""

HD_ABOVE = 576
"""Lines of a picture above which GStreamer takes BT.709 where nothing is said, else BT.601."""

KEPT_ERROR_BYTES = 4_096
PIECE_BYTES = 1 << 20
CLOSE_S = 2.0
"""How long the child may take to end when asked to, seconds; then it is killed."""


def open_csi(
    address: str,
    config: SourceConfig,
    timeout_s: float,
    now_us: Callable[[], int] | None = None,
) -> CsiSource:
    """Start the camera and wait for its first picture.

    Args:
        address: as ``parse_csi`` reads it.
        config: how it is sampled.
        timeout_s: longest wait for a picture, seconds.
        now_us: clock that stamps the pictures, microseconds; the machine's when None.

    Raises:
        SourceError: the address is none, GStreamer or its camera element is missing, or no
            picture comes.
    """
    camera = parse_csi(address)
    launcher = shutil.which(LAUNCHER)
    if launcher is None:
        raise SourceError(
            f"needs {LAUNCHER}, which is not there", where=address, mend=INSTALL_LAUNCHER
        )
    child = _Child(launcher, camera, config.fps)
    try:
        return CsiSource(child, camera, config, timeout_s, now_us or MonotonicClock().now_us)
    except BaseException:
        child.close()
        raise


class CsiSource:
    """Frames of a CSI camera, stamped when they have come, until it stalls or breaks off."""

    def __init__(
        self,
        child: _Child,
        camera: CsiCamera,
        config: SourceConfig,
        timeout_s: float,
        now_us: Callable[[], int],
    ) -> None:
        """Take over ``child``; use ``open_csi`` instead."""
        self.info = MediaInfo(
            f"csi {camera.sensor}", None, camera.width, camera.height, True, False
        )
        self._child = child
        self._camera = camera
        self._timeout_s = timeout_s
        self._now_us = now_us
        scale = min(1.0, config.max_side_px / max(camera.width, camera.height))
        self._size = (round(camera.height * scale), round(camera.width * scale))
        self._first = child.picture(timeout_s)
        self._began_us = now_us()
        if isinstance(self._first, str):
            raise _not_opened(camera, self._first)

    def __iter__(self) -> Iterator[Frame | SourceWarning]:
        """The pictures as they come; a warning says why there is no more."""
        at_us, picture = 0, self._first
        while not isinstance(picture, str):
            yield Frame(at_us, self._rgb(picture))
            picture = self._child.picture(self._timeout_s)
            at_us = self._now_us() - self._began_us
        yield SourceWarning(at_us, f"the camera broke off: {picture}")

    def close(self) -> None:
        """End the child and wait for it; closing twice does nothing."""
        self._child.close()

    def _rgb(self, nv12: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """NV12 [h * 3 / 2, w] as RGB [h', w', 3], no larger than ``source.max_side_px``."""
        height, width = self._camera.height, self._camera.width
        matrix: Literal["bt601", "bt709"] = "bt709" if height > HD_ABOVE else "bt601"
        luma = nv12[:height]
        chroma = nv12[height:].reshape(height // 2, width // 2, 2)
        return np.asarray(resize_nv12(luma, chroma, *self._size, matrix=matrix, full_range=False))


class _Child:
    """The launcher in a process of its own, and the pictures it writes."""

    def __init__(self, launcher: str, camera: CsiCamera, fps: float) -> None:
        rate = min(camera.fps, math.ceil(fps * OVERSAMPLING))
        self._process = subprocess.Popen(
            [launcher, *launch_arguments(camera, rate)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for this process, which then ends it
        )
        # Also when this interpreter ends while its thread still waits for a camera that hangs.
        self._end = weakref.finalize(self, _end, self._process)
        assert self._process.stdout is not None and self._process.stderr is not None
        self._out, self._err = self._process.stdout, self._process.stderr
        self._shape = (camera.height * 3 // 2, camera.width)
        self._said = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self._selector.register(self._err, selectors.EVENT_READ)

    def picture(self, timeout_s: float) -> npt.NDArray[np.uint8] | str:
        """The next picture, NV12 [h * 3 / 2, w], or why there is none."""
        picture = np.empty(self._shape, np.uint8)
        into, filled = picture.data.cast("B"), 0
        clock = MonotonicClock()
        while filled < len(into):
            left_s = timeout_s - clock.now_us() / 1e6
            ready = self._selector.select(max(0.0, left_s)) if left_s > 0 else []
            if not ready:
                return f"nothing came for {timeout_s:g} s"
            for key, _ in ready:
                if key.fileobj is self._err:
                    self._hear()
                elif not (got := os.readv(self._out.fileno(), [into[filled:]])):
                    return self._why_ended()
                else:
                    filled += got
        return picture

    def close(self) -> None:
        """End it, by force if it does not listen, and wait for it."""
        self._end()
        self._selector.close()
        self._out.close()
        self._err.close()

    def _hear(self) -> bool:
        """Keep the newest of what it complains of; False at the end."""
        said = os.read(self._err.fileno(), PIECE_BYTES)
        if not said:
            self._selector.unregister(self._err)
        self._said = (self._said + said)[-KEPT_ERROR_BYTES:]
        return bool(said)

    def _why_ended(self) -> str:
        """What it said last, once it has said everything or may be told no more time."""
        while self._err in (key.fileobj for key in self._selector.get_map().values()):
            heard = [k for k, _ in self._selector.select(CLOSE_S) if k.fileobj is self._err]
            if not heard or not self._hear():
                break
        lines = self._said.decode("utf-8", "replace").splitlines()
        errors = [line for line in lines if "ERROR" in line or "no element" in line]
        said = (errors or lines or ["GStreamer ended"])[0].strip()
        return "".join(c if c.isprintable() else " " for c in said)[:200]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _not_opened(camera: CsiCamera, why: str) -> SourceError:
    where = f"csi://{camera.sensor}"
    missing = re.search(r'no element "([\w-]+)"', why)
    if missing:
        what = f"needs GStreamer's {missing[1]}, which is not there"
        return SourceError(what, where=where, mend=INSTALL_ELEMENTS)
    mend = "Check the ribbon cable, the sensor's number and mode, and nvargus-daemon's log."
    return SourceError(f"gives no picture ({why})", where=where, mend=mend)
