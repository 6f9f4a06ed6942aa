"""The systemd unit: what systemd says of it, and that it and the service agree."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from omnilive.errors import ConfigError, PackError
from omnilive.service.config import ServiceConfig

DEPLOY = Path(__file__).resolve().parents[2] / "deploy_jetson"
UNIT = DEPLOY / "omnilive.service"


def section(name: str) -> dict[str, list[str]]:
    """The assignments of a section; a key may be given more than once."""
    found: dict[str, list[str]] = {}
    here = ""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            here = line.strip("[]")
        elif here == name and line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def verify(unit: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60
    )


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="needs systemd-analyze: apt-get install systemd",
)
def test_systemd_accepts_the_unit_and_not_one_with_a_mistake(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    (command,) = section("Service")["ExecStart"]
    here = text.replace(command.split()[0], "/bin/true").replace("file:/opt", "file:/tmp")
    unit = tmp_path / UNIT.name
    unit.write_text(here, encoding="utf-8")
    said = verify(unit)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
    unit.write_text(here.replace("WatchdogSec=", "WatchdogSecs="), encoding="utf-8")
    assert "WatchdogSecs" in verify(unit).stderr


def test_the_manager_waits_longer_than_a_drain_may_take_and_starts_nothing_hopeless_again() -> None:
    service = section("Service")
    assert int(service["TimeoutStopSec"][0]) > ServiceConfig().drain_s
    assert (service["Type"], service["NotifyAccess"]) == (["notify"], ["main"])
    assert service["Restart"] == ["on-failure"]
    hopeless = {ConfigError.exit_code, PackError.exit_code}
    assert set(map(int, service["RestartPreventExitStatus"][0].split())) == hopeless
    assert service["ProtectSystem"] == ["strict"]
    assert int(service["WatchdogSec"][0]) > 0
