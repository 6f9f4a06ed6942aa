"""A service in a process of its own, as an installation runs it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Service:
    """A service that runs."""

    url: str
    process: asyncio.subprocess.Process


SERVE = "import sys\nfrom omnilive.cli.main import main\n{changed}\nsys.exit(main(sys.argv[1:]))"
"""The command, in an interpreter where something was changed before."""


@asynccontextmanager
async def serving(pack: Path, state: Path, config: str = "") -> AsyncIterator[str]:
    """The URL of a service that is ready; the rest is as for ``service``."""
    async with service(pack, state, config) as running:
        yield running.url


@asynccontextmanager
async def service(
    pack: Path, state: Path, config: str = "", own: str = "", changed: str = ""
) -> AsyncIterator[Service]:
    """A service that is ready; it is told to stop in the end, unless it has ended.

    Args:
        pack: engine pack.
        state: empty folder for its sessions and configuration.
        config: TOML besides ``[service]``.
        own: TOML for ``[service]``.
        changed: Python that is run in the service's process before it begins.
    """
    state.mkdir(parents=True, exist_ok=True)
    file = state / "omnilive.toml"
    file.write_text(f'{config}\n[service]\nport = 0\nstate = "{state}"\n{own}\n', encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE.format(changed=changed), "serve"),
        *("--config", str(file), "--pack", str(pack)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith("ready at "), line
        yield Service(line.split()[2], process)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have ended
            process.send_signal(signal.SIGTERM)
        await process.stdout.read()
        code = await process.wait()
        assert code == 0, code
