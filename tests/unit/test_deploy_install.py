"""The installer, in a staging root: what it leaves, that again changes nothing, and its removal."""

from __future__ import annotations

import hashlib
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from omnilive.config import load_config

DEPLOY = Path(__file__).resolve().parents[2] / "deploy_jetson"
INSTALLER = DEPLOY / "install.sh"

VERIFY = ("-verify_hostname", "omni.example", "-verify_ip", "127.0.0.1")

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs openssl: apt-get install openssl"
)


def wheelhouse(folder: Path, says: str = "stands in") -> Path:
    """A folder with one wheel: a program of that name that needs nothing."""
    folder.mkdir(exist_ok=True)
    info = "omnilive_edge-1.0.dist-info"
    files = {
        "omnilive_stand_in.py": f"def main():\n    print({says!r})\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: omnilive-edge\nVersion: 1.0\n"
        "Provides-Extra: serve\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nomnilive = omnilive_stand_in:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / "omnilive_edge-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return folder


def install(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(INSTALLER), "--root", str(root), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )


def tree(root: Path) -> dict[str, tuple[int, str]]:
    """Mode and content of everything below ``root`` but what Python caches."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(root.rglob("*"))
        if "__pycache__" not in path.parts
    }


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@needs_openssl
def test_again_changes_nothing_and_removal_keeps_state_unless_it_is_to_go(tmp_path: Path) -> None:
    root = tmp_path / "root"
    wheels = wheelhouse(tmp_path / "wheels")
    chosen = ("--device", "orin-nx-16gb", "--tls", "--name", "omni.example")
    chosen += ("--wheelhouse", str(wheels), "--python", sys.executable)
    interpreter = root / "opt/omnilive/venv/bin/python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to("/none/python")  # as after the system's Python was replaced
    first = install(root, *chosen)
    assert first.returncode == 0, first.stderr
    before = tree(root)
    again = install(root, *chosen)
    assert again.returncode == 0, again.stderr
    assert tree(root) == before

    settings = root / "etc/omnilive"
    assert (mode(settings / "token"), len((settings / "token").read_text().strip())) == (0o600, 48)
    config = load_config("edge", settings / "omnilive.toml")
    assert config.memory_budget.host == "13GiB"
    assert config.service.tls_certificate == "/etc/omnilive/tls/server.pem"
    program = root / "opt/omnilive/venv/bin/omnilive"
    assert subprocess.run([program], capture_output=True, text=True).stdout == "stands in\n"
    wheelhouse(wheels, "of the same version, and another")
    assert install(root, *chosen).returncode == 0
    assert subprocess.run([program], capture_output=True, text=True).stdout.endswith("another\n")
    assert "system-site-packages = true" in (program.parents[1] / "pyvenv.cfg").read_text()

    # A phone that trusts the CA trusts the server by its name, and no secret can be read.
    certificates = settings / "tls"
    verified = subprocess.run(
        ["openssl", "verify", "-CAfile", "ca.pem", *VERIFY, "server.pem"],
        cwd=certificates,
        capture_output=True,
        text=True,
    )
    assert verified.stdout == "server.pem: OK\n", verified.stderr
    assert mode(certificates / "ca.key") == mode(certificates / "server.key") == 0o600

    # What its user changed stays; a further name makes a new certificate of the same CA.
    (settings / "omnilive.toml").write_text("[service]\nport = 9000\n", encoding="utf-8")
    authority = (certificates / "ca.pem").read_bytes()
    server = (certificates / "server.pem").read_bytes()
    assert install(root, *chosen, "--name", "10.1.2.3").returncode == 0
    assert (settings / "omnilive.toml").read_text() == "[service]\nport = 9000\n"
    assert (certificates / "ca.pem").read_bytes() == authority
    assert (certificates / "server.pem").read_bytes() != server

    (root / "var/lib/omnilive/kept").write_text("memory", encoding="utf-8")
    assert install(root, "--uninstall").returncode == 0
    left = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert {"var/lib/omnilive/kept", "etc/omnilive/token"} <= left
    assert not any(name.startswith(("opt/", "etc/systemd")) for name in left)
    assert install(root, "--uninstall", "--purge").returncode == 0
    assert not [p for p in root.rglob("*") if p.is_file()]


def test_another_prefix_is_the_units_too(tmp_path: Path) -> None:
    wheels = wheelhouse(tmp_path / "wheels")
    root = tmp_path / "root"
    options = ("--prefix", "/srv/live", "--wheelhouse", str(wheels), "--python", sys.executable)
    said = install(root, *options, "--device", "server-cpu")
    assert said.returncode == 0, said.stderr
    unit = (root / "etc/systemd/system/omnilive.service").read_text(encoding="utf-8")
    assert "ExecStart=/srv/live/venv/bin/omnilive serve" in unit and "/opt/omnilive" not in unit
    assert "http://" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--nonsense",), "does not know --nonsense"),
        (("--device",), "--device needs a value"),
        (("--device", "toaster"), "has no configuration for toaster"),
        (("--purge",), "--purge goes with --uninstall"),
        (("--prefix", "here"), "--prefix is here"),
        (("--python", "/none"), "cannot run /none"),
        (("--name", "not a name"), "--name is not a name"),
        (("--wheelhouse", "/none"), "finds no folder /none"),
        (("--wheelhouse", str(DEPLOY)), f"finds no wheel of omnilive-edge in {DEPLOY}"),
    ],
)
def test_a_mistake_is_named_before_anything_is_installed(
    tmp_path: Path, arguments: tuple[str, ...], what: str
) -> None:
    said = install(tmp_path / "root", *arguments)
    assert said.returncode == 1
    assert said.stderr.startswith(f"install.sh: {what}")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.skipif(
    shutil.which("shellcheck") is None, reason="needs shellcheck: apt-get install shellcheck"
)
def test_shellcheck_finds_nothing() -> None:
    said = subprocess.run(
        ["shellcheck", *map(str, DEPLOY.glob("*.sh"))], capture_output=True, text=True
    )
    assert (said.returncode, said.stdout) == (0, "")
