"""CSI cameras through GStreamer: a launcher of our own on PATH, and the real one where it is."""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.cli.doctor_cameras import csi_lacks
from omnilive.errors import SourceError
from omnilive.service.backoff import Backoff
from omnilive.service.config import ClientConfig
from omnilive.service.faults import ProtocolError
from omnilive.service.pull_guard import check_pull
from omnilive.service.pulling import Puller
from omnilive.sources.address import open_address
from omnilive.sources.config import SourceConfig
from omnilive.sources.csi import open_csi
from omnilive.sources.csi_camera import CsiCamera, launch_arguments, parse_csi
from omnilive.sources.live import LiveSource
from omnilive.sources.types import Frame, SourceWarning

WAIT_S = 30.0
SHORT_S = 0.3
"""After which a camera that hangs is given up."""

SMALL = "csi://0?width=64&height=64"
REAL = shutil.which("gst-launch-1.0")
HOW_TO_GET_IT = (
    "needs GStreamer: apt-get install --no-install-recommends "
    "gstreamer1.0-tools gstreamer1.0-plugins-base"
)

Launcher = Callable[[str], Path]


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """Puts a launcher on PATH that does as it is told; returns the file its arguments lie in."""

    def put(body: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        told = tmp_path / "told"
        script = folder / "gst-launch-1.0"
        script.write_text(
            f"#!{sys.executable}\nimport os, signal, sys, time\n"
            f"with open({str(told)!r}, 'w') as told:\n"
            "    told.write('\\n'.join([str(os.getpid()), *sys.argv[1:]]))\n"
            "def show(luma, count=1, size=64 * 64):\n"
            "    frame = bytes([luma]) * size + bytes([128]) * (size // 2)\n"
            "    for _ in range(count):\n"
            "        sys.stdout.buffer.write(frame)\n"
            "        sys.stdout.buffer.flush()\n"
            f"{body}\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return told

    return put


def is_gone(told: Path) -> bool:
    """Whether the child has ended and been waited for."""
    pid = int(told.read_text().splitlines()[0])
    return not Path(f"/proc/{pid}").exists()


def test_its_pictures_are_frames_until_it_ends_and_it_is_waited_for(launcher: Launcher) -> None:
    told = launcher("show(235); show(16, 2)")
    times = iter([1_000_000, 1_200_000, 1_500_000, 1_600_000])
    source = open_csi(SMALL, SourceConfig(), WAIT_S, lambda: next(times))
    assert (source.info.width, source.info.height) == (64, 64)
    assert (source.info.has_video, source.info.has_audio) == (True, False)
    *frames, last = source
    assert [f.pts_us for f in frames if isinstance(f, Frame)] == [0, 200_000, 500_000]
    shown = [int(f.rgb.mean()) for f in frames if isinstance(f, Frame)]
    assert shown == [255, 0, 0]
    assert isinstance(last, SourceWarning)
    assert "GStreamer ended" in last.what
    source.close()
    source.close()
    assert is_gone(told)


def test_a_large_picture_is_scaled_down_to_what_is_looked_at(launcher: Launcher) -> None:
    launcher("show(126, 1, 1280 * 720)")
    source = open_csi("csi://3", SourceConfig(max_side_px=640), WAIT_S)
    frame = next(iter(source))
    assert isinstance(frame, Frame)
    assert frame.rgb.shape == (360, 640, 3)
    assert abs(int(frame.rgb.mean()) - 128) <= 1
    source.close()


@pytest.mark.parametrize("deaf", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN); "])
def test_a_camera_that_hangs_is_given_up_and_ended_even_if_it_does_not_listen(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch, deaf: str
) -> None:
    monkeypatch.setattr("omnilive.sources.csi.CLOSE_S", 0.2)
    told = launcher(f"{deaf}show(90); sys.stdout.buffer.write(b'half'); time.sleep(999)")
    source = open_csi(SMALL, SourceConfig(), WAIT_S)
    source._timeout_s = SHORT_S  # from here on: a child may take longer to begin
    *_, last = source
    assert isinstance(last, SourceWarning)
    assert "nothing came for 0.3 s" in last.what
    source.close()
    assert is_gone(told)


@pytest.mark.parametrize(
    ("body", "what", "mend"),
    [
        (
            "print('WARNING: erroneous: no element \"nvarguscamerasrc\"', file=sys.stderr)",
            "needs GStreamer's nvarguscamerasrc",
            "nvidia-l4t-gstreamer",
        ),
        (
            "print('Setting up\\nERROR: from element /x: No cameras \\x1b[31m', file=sys.stderr)",
            "gives no picture .ERROR: from element /x: No cameras  .31m.",
            "nvargus-daemon",
        ),
        ("show(9, 1, 64)", "gives no picture .GStreamer ended.", "ribbon cable"),
        ("sys.stderr.write('e' * 999_999)", "gives no picture .e{200}.", "ribbon cable"),
    ],
)
def test_a_camera_that_gives_no_picture_is_an_error_that_says_why(
    launcher: Launcher, body: str, what: str, mend: str
) -> None:
    told = launcher(body)
    with pytest.raises(SourceError) as caught:
        open_address(SMALL, SourceConfig(), WAIT_S)
    assert re.match(what, caught.value.what)
    assert mend in caught.value.mend
    assert is_gone(told)


def test_without_gstreamer_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match=r"gst-launch-1\.0") as caught:
        open_address("csi://0", SourceConfig(), WAIT_S)
    assert "apt-get install gstreamer1.0-tools" in caught.value.mend


NAMED = "csi://1?width=640&height=480&fps=15&mode=4"


def test_an_address_names_sensor_size_rate_and_mode(launcher: Launcher) -> None:
    assert parse_csi("csi://0") == CsiCamera()
    assert parse_csi(NAMED) == CsiCamera(1, 640, 480, 15, 4)
    told = launcher("show(90, 1, 640 * 480)")
    open_csi(NAMED, SourceConfig(fps=2), WAIT_S).close()
    arguments = told.read_text().splitlines()[1:]
    assert {"sensor-id=1", "sensor-mode=4", "max-rate=8"} <= set(arguments)
    assert "video/x-raw(memory:NVMM),width=640,height=480,framerate=15/1" in arguments


@pytest.mark.parametrize(
    "address",
    [
        "csi://",
        "csi://camera",
        "csi://16",
        "csi://0/1",
        "csi://0 ! filesink location=x",
        "csi://0?width=63",
        "csi://0?width=1282",
        "csi://0?height=0x40",
        "csi://0?fps=",
        "csi://0?fps=1e1",
        "csi://0?mode=-1",
        "csi://0?mode=²",
        "csi://0?location=/etc/passwd",
        "csi://0?mode=1!filesink",
    ],
)
def test_an_address_of_anything_else_is_refused_before_anything_is_started(
    launcher: Launcher, address: str
) -> None:
    told = launcher("show(90)")
    with pytest.raises(SourceError, match=r"names the sensor|has the option|has a "):
        open_address(address, SourceConfig(), WAIT_S)
    assert not told.exists()


@given(st.text(max_size=12), st.text(max_size=12))
def test_no_text_of_an_address_reaches_the_launcher_but_numbers(sensor: str, option: str) -> None:
    plain = [re.sub(r"\d+", "N", a) for a in launch_arguments(CsiCamera(mode=1), 4)]
    try:
        camera = parse_csi(f"csi://{sensor}?mode=1&{option}")
    except SourceError:
        return
    assert [re.sub(r"\d+", "N", a) for a in launch_arguments(camera, 4)] == plain


@pytest.mark.parametrize("on_loopback", [True, False])
@pytest.mark.parametrize("url", ["csi://0", "v4l2:///dev/video0", "alsa://default", "/dev/video0"])
def test_a_client_cannot_have_a_device_of_this_machine_opened(url: str, on_loopback: bool) -> None:
    with pytest.raises(ProtocolError, match="forbidden"):
        check_pull(url, ClientConfig(pull_hosts="*"), on_loopback=on_loopback)


def test_a_camera_that_breaks_off_is_opened_again(launcher: Launcher) -> None:
    launcher("show(90)")
    ticks = itertools.count(1_000_000, 100_000)
    into = LiveSource(SourceConfig(fps=30), name="test", has_audio=False)
    items = into.items(lambda: 0)
    puller = Puller(
        "csi://0?width=64&height=64",
        into,
        SourceConfig(fps=30),
        lambda: next(ticks),
        backoff=Backoff(0.001, 0.002),
        rng=random.Random(1),
    )
    told = []
    while sum("connected to csi 0" in what for what in told) < 3:
        item = next(items)
        told += [item.what] if isinstance(item, SourceWarning) else ["picture"]
    puller.stop()
    assert puller.join(WAIT_S)
    assert told.count("picture") >= 2
    assert any("opening it again" in what for what in told)


@pytest.mark.skipif(REAL is None, reason=HOW_TO_GET_IT)
def test_gstreamer_itself_runs_the_pipeline_with_a_test_picture_for_the_camera(
    launcher: Launcher,
) -> None:
    """The elements that only a Jetson has are replaced by their likes; the rest is as it runs."""
    told = launcher(
        "likes = {'nvarguscamerasrc': 'videotestsrc', 'nvvidconv': 'videoconvert'}\n"
        "kept = [a for a in sys.argv[1:] if not a.startswith('sensor-')]\n"
        "kept = [likes.get(a, a).replace('(memory:NVMM)', '') for a in kept]\n"
        "at = kept.index('videotestsrc') + 1\n"
        "kept[at:at] = ['is-live=true', 'pattern=red']\n"
        f"os.execv({REAL!r}, [{REAL!r}, *kept])"
    )
    source = open_csi("csi://0?width=644&height=362&fps=20", SourceConfig(fps=2), WAIT_S)
    items = iter(source)
    frames = [next(items) for _ in range(4)]
    source.close()
    assert is_gone(told)
    for frame in frames:
        assert isinstance(frame, Frame)
        assert frame.rgb.shape == (362, 644, 3)
        red, green, blue = frame.rgb[:, 8:-8].reshape(-1, 3).mean(axis=0)
        assert red > 250 and green < 6 and blue < 6


def test_the_doctor_says_what_a_jetson_lacks_for_its_cameras_and_nothing_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson = tmp_path / "nv_tegra_release"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert csi_lacks(jetson) is None
    jetson.touch()
    assert csi_lacks(jetson) == (
        "no gst-launch-1.0",
        "Install it: apt-get install gstreamer1.0-tools",
    )
    for name, script in (("gst-launch-1.0", "exit 0"), ("gst-inspect-1.0", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    lacks = csi_lacks(jetson)
    assert lacks is not None
    assert lacks[0] == "GStreamer has no nvarguscamerasrc"
    (tmp_path / "gst-inspect-1.0").write_text("#!/bin/sh\nexit 0\n")
    assert csi_lacks(jetson) == ("", "")
    jetson.unlink()
    assert csi_lacks(jetson) == ("", "")
