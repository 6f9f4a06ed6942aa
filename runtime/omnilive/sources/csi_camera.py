"""Which CSI camera an address names, and how GStreamer is told to read it. Text only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from omnilive.errors import SourceError

LAUNCHER = "gst-launch-1.0"
CAMERA_ELEMENT = "nvarguscamerasrc"
CONVERTER_ELEMENT = "nvvidconv"

_RANGES = {
    "width": (64, 8_192, 4),
    "height": (64, 8_192, 2),
    "fps": (1, 240, 1),
    "mode": (0, 63, 1),
}
"""Least, most and step of each option. Rows of such widths have no padding in GStreamer's NV12."""

_SENSORS = range(16)


@dataclass(frozen=True)
class CsiCamera:
    """What a ``csi://`` address names.

    Attributes:
        sensor: number of the camera.
        width, height: of its pictures, pixels.
        fps: frames a second that the sensor is run at.
        mode: the sensor's mode; None lets the driver choose one.
    """

    sensor: int = 0
    width: int = 1280
    height: int = 720
    fps: int = 30
    mode: int | None = None


def parse_csi(address: str) -> CsiCamera:
    """The camera of ``csi://SENSOR?width=W&height=H&fps=F&mode=M``.

    Raises:
        SourceError: it names something else.
    """
    problem = ""
    try:
        parts = urlsplit(address)
    except ValueError:  # half of an IPv6 address
        parts = urlsplit("csi://")
    sensor, options = parts.netloc + parts.path, {}
    if not re.fullmatch(r"[0-9]{1,2}", sensor) or int(sensor) not in _SENSORS:
        problem = f"names the sensor {sensor!r}"
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in _RANGES:
            problem = f"has the option {key!r}"
            continue
        least, most, step = _RANGES[key]
        if not re.fullmatch(r"[0-9]{1,4}", value) or int(value) not in range(least, most + 1, step):
            steps = f" in steps of {step}" if step > 1 else ""
            problem = f"has a {key} that is not {least} to {most}{steps}"
        else:
            options[key] = int(value)
    if problem:
        mend = "Write csi://0, or csi://0?width=1280&height=720&fps=30&mode=2."
        raise SourceError(problem, where=f"csi://{parts.netloc}", mend=mend)
    return CsiCamera(int(sensor), **options)


def launch_arguments(camera: CsiCamera, rate: int) -> list[str]:
    """Arguments of the launcher: numbers in fixed places, and no shell reads them.

    Args:
        camera: whose pictures to write.
        rate: of them, a second, at most; dropped before they are copied.
    """
    mode = [] if camera.mode is None else [f"sensor-mode={camera.mode}"]
    size = f"width={camera.width},height={camera.height}"
    return [
        *("-q", CAMERA_ELEMENT, f"sensor-id={camera.sensor}", *mode),
        *("!", f"video/x-raw(memory:NVMM),{size},framerate={camera.fps}/1"),
        *("!", "videorate", "drop-only=true", f"max-rate={rate}"),
        *("!", CONVERTER_ELEMENT, "!", f"video/x-raw,format=NV12,{size}"),
        *("!", "queue", "leaky=downstream", "max-size-buffers=1"),
        *("!", "fdsink", "fd=1", "sync=false"),
    ]
