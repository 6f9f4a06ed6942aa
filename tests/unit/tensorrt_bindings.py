"""Fetches TensorRT's Python bindings and records their interface, without TensorRT.

The bindings come from PyPI by pip; the libraries they load do not, so stub libraries that only
export the symbols the binding asks for stand in. `python tests/unit/tensorrt_bindings.py` records
every version anew and compares with `tests/data/tensorrt`; `--write` replaces what is there, and
the type stub of the oldest version, which `make lint` checks our code with. It never runs an
engine.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from tensorrt_signatures import stub

ROOT = Path(__file__).resolve().parents[2]
RECORDINGS = ROOT / "tests" / "data" / "tensorrt"
CACHE = ROOT / "build" / "tensorrt-bindings"
RECORDER = Path(__file__).with_name("tensorrt_record.py")

PACKAGES = {
    "10.3.0": "tensorrt-cu12-bindings",
    "10.13.3.9": "tensorrt-cu12-bindings",
    "11.4.0.106": "tensorrt-cu13-bindings",
}
"""Version → its package: JetPack 6, JetPack 7 and the newest."""

OLDEST = next(iter(PACKAGES))
"""What our code must keep to wherever versions agree."""

STUB = RECORDINGS / "stubs" / "tensorrt.pyi"

LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")


class BindingsError(RuntimeError):
    """The bindings of a version could not be fetched or loaded; the text says why."""


def recording(version: str) -> dict[str, Any]:
    """What ``tests/data/tensorrt`` says of a version."""
    found: dict[str, Any] = json.loads((RECORDINGS / f"{version}.json").read_text())
    return found


def record(version: str, cache: Path = CACHE) -> dict[str, Any]:
    """The interface of a version's binding, fetched into ``cache`` unless it is there.

    Raises:
        BindingsError: pip, the compiler, ``nm`` or the import failed.
    """
    bindings = fetch(version, cache)
    stubs = build_stubs(bindings, version.split(".")[0], cache / f"{version}-stubs")
    printed = _run(sys.executable, str(RECORDER), str(bindings), str(stubs))
    found: dict[str, Any] = json.loads(printed)
    return {"source": f"PyPI {PACKAGES[version]}=={version}, by {RECORDER.name}", **found}


def fetch(version: str, cache: Path = CACHE) -> Path:
    """The unpacked wheel of a version, downloaded unless it is there. Raises BindingsError."""
    folder = cache / version
    if (folder / "tensorrt_bindings").is_dir():
        return folder
    wheels = cache / f"{version}-wheel"
    wheels.mkdir(parents=True, exist_ok=True)
    package = f"{PACKAGES[version]}=={version}"
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
    _run(*pip, "--dest", str(wheels), package)
    partial = cache / f"{version}.part"
    shutil.rmtree(partial, ignore_errors=True)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        wheel.extractall(partial)
    partial.rename(folder)
    return folder


def build_stubs(bindings: Path, major: str, out: Path) -> Path:
    """Libraries of the right sonames that export what the binding leaves undefined."""
    out.mkdir(parents=True, exist_ok=True)
    module = bindings / "tensorrt_bindings" / "tensorrt.so"
    source = out / "stub.c"
    symbols = undefined_symbols(_run("nm", "-D", "--undefined-only", str(module)))
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in symbols))
    for library in LIBRARIES:
        name = f"lib{library}.so.{major}"
        link = ("-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(out / name))
        _run("cc", *link, str(source))
    return out


def undefined_symbols(listing: str) -> list[str]:
    """The names in a listing of ``nm`` that neither Python nor the C library defines."""
    process = ctypes.CDLL(None)
    names = [line.split()[-1] for line in listing.splitlines() if " U " in line]
    own = [name for name in names if "@" not in name and not name.lstrip("_").startswith("Py")]
    return [name for name in own if not hasattr(process, name)]


def main() -> int:
    """Record every version; report or write what differs. The exit code says whether any did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the recordings")
    write = parser.parse_args().write
    differing = 0
    for version in PACKAGES:
        text = json.dumps(record(version), indent=1, sort_keys=True) + "\n"
        path = RECORDINGS / f"{version}.json"
        if write:
            path.write_text(text)
        same = path.is_file() and path.read_text() == text
        differing += not same
        print(f"TensorRT {version}: {'as recorded' if same else 'DIFFERS from the recording'}")
    if write:
        STUB.write_text(stub(recording(OLDEST)))
    return int(differing > 0)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as e:
        detail = getattr(e, "stderr", None) or str(e)
        raise BindingsError(f"{command[0]} failed: {detail.strip().splitlines()[-1]}") from e
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
