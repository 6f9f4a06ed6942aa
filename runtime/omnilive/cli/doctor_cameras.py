"""What ``omnilive doctor`` says of CSI cameras: nothing on a machine that cannot have one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from omnilive.sources.csi import INSTALL_ELEMENTS, INSTALL_LAUNCHER
from omnilive.sources.csi_camera import CAMERA_ELEMENT, CONVERTER_ELEMENT, LAUNCHER

JETSON_MARK = Path("/etc/nv_tegra_release")
"""A file of every Jetson's system."""

INSPECTOR = "gst-inspect-1.0"
INSPECT_S = 20.0
"""How long GStreamer may look for an element, seconds: at first it reads all of its plugins."""


def csi_lacks(jetson_mark: Path = JETSON_MARK) -> tuple[str, str] | None:
    """What is missing for CSI cameras and how to mend it, empty when nothing is.

    Returns:
        None on a machine that is no Jetson and lacks something: it has no such cameras.
    """
    lacks = _lacks()
    return lacks if jetson_mark.exists() or not lacks[0] else None


def _lacks() -> tuple[str, str]:
    inspector = shutil.which(INSPECTOR)
    if shutil.which(LAUNCHER) is None or inspector is None:
        return f"no {LAUNCHER}", INSTALL_LAUNCHER
    for element in (CAMERA_ELEMENT, CONVERTER_ELEMENT):
        try:
            found = subprocess.run(
                [inspector, "--exists", element],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=INSPECT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return f"{INSPECTOR} does not answer", INSTALL_LAUNCHER
        if found.returncode:
            return f"GStreamer has no {element}", INSTALL_ELEMENTS
    return "", ""
