"""Builds a stale pack again in a child process, from the checkpoint it came from.

It knows the exporter only as a command: nothing of it is imported here. Progress goes to the log
(on a terminal that is stderr) and to the service manager.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnilive.engine.manifest import Manifest
from omnilive.engine.rebuild_config import RebuildConfig
from omnilive.errors import PackError, SetupError
from omnilive.systemd import notify

EXPORTER = "omnilive_export"
CHECKPOINT, ARGUMENTS = "checkpoint", "arguments"
"""Keys of the manifest's ``build``: the folder it was built from, and the exporter's options."""

KEPT_LINES = 5
"""Last lines of a failed build that its error repeats."""

EXTEND_US = 120_000_000
"""Microseconds of start-up that each line of progress asks of the service manager."""

_LOG = logging.getLogger(__name__)


def rebuild(
    path: Path,
    manifest: Manifest,
    config: RebuildConfig,
    reason: str,
    *,
    keep: Sequence[str] = (),
) -> None:
    """Build the pack at ``path`` again, as it was built; the old one is in place until it is done.

    Args:
        path: the pack.
        manifest: its present one.
        config: whether to, and from which checkpoint.
        reason: what changed, for the log and for errors.
        keep: files beside the manifest that the new pack takes over, since they were measured
            on the same weights.

    Raises:
        PackError: it may not be rebuilt, nothing says from what, or the build failed.
        SetupError: the exporter is not installed here.
    """
    command = rebuild_command(path, manifest.build, config, reason)
    kept = {name: (path / name).read_bytes() for name in keep if (path / name).is_file()}
    _say(f"{path}: {reason}; building it again")
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                lines.append(line.strip())
                _say(f"building {path.name}: {lines[-1]}")
            code = child.wait()
        finally:
            child.kill()  # without effect once it has ended
    if code:
        raise PackError(
            f"could not be built again (exit code {code}: {' / '.join(lines)})",
            where=str(path),
            mend=f"{reason}. The old pack is untouched. Mend that and run: {' '.join(command)}",
        )
    for name, data in kept.items():
        (path / name).write_bytes(data)


def rebuild_command(
    path: Path, build: Mapping[str, Any], config: RebuildConfig, reason: str
) -> list[str]:
    """The command that builds the pack at ``path`` as its manifest's ``build`` says.

    Raises:
        PackError: rebuilding is switched off, or there is no checkpoint to build from.
        SetupError: the exporter is not installed here.
    """
    checkpoint = config.checkpoint or str(build.get(CHECKPOINT) or "")
    arguments = build.get(ARGUMENTS)
    recorded: Sequence[Any] = arguments if isinstance(arguments, list) else ()
    command = [
        *(sys.executable, "-m", f"{EXPORTER}.cli"),
        *("--checkpoint", checkpoint or "DIR", "--out", str(path)),
        *(str(argument) for argument in recorded),
    ]
    if config.when == "never":
        raise _stale(path, reason, f"Build it again: {' '.join(command)}")
    if not isinstance(arguments, list):
        raise _stale(path, reason, "It does not record how it was built; build it again yourself.")
    if not checkpoint or not Path(checkpoint).is_dir():
        raise _stale(
            path,
            f"{reason}, and its checkpoint {checkpoint or '(not recorded)'} is not here",
            "Set rebuild.checkpoint to the checkpoint's folder, or copy a pack built for this "
            f"machine. By hand: {' '.join(command)}",
        )
    if importlib.util.find_spec(EXPORTER) is None:
        raise SetupError(
            "is not installed, and the pack must be built again",
            where=EXPORTER,
            mend=f"pip install 'omnilive-edge[export]', or build the pack elsewhere: {path}",
        )
    return command


def _stale(path: Path, what: str, mend: str) -> PackError:
    return PackError(what, where=str(path), mend=mend)


def _say(text: str) -> None:
    _LOG.warning("omnilive: %s", text)
    notify(f"STATUS={text}", f"EXTEND_TIMEOUT_USEC={EXTEND_US}")
