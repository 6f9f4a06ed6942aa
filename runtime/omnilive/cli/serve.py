"""``omnilive serve``: the live service."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path
from typing import Any

from omnilive.cli.address import qr_code, reachable
from omnilive.config import load_config
from omnilive.errors import SetupError

READY = "ready at "
"""How the service's line with its URL begins."""


def serve(
    *,
    config_file: str | None,
    pack: str | None,
    host: str | None,
    port: int | None,
    insecure: bool,
    allow_inaccurate: bool,
) -> int:
    """Serve until told to stop; what is given here goes before the file.

    Returns:
        0.

    Raises:
        OmniLiveError: it cannot start.
    """
    file = Path(config_file) if config_file else None
    config = load_config("edge", file)
    config = load_config(config.service.preset, file)
    given: dict[str, Any] = {
        "pack": pack,
        "host": host,
        "port": port,
        "insecure": insecure or None,
        "allow_inaccurate": allow_inaccurate or None,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    config = dataclasses.replace(config, service=dataclasses.replace(config.service, **changes))
    config.validate()
    try:
        from omnilive.service.service import serve as run_service
    except ImportError as e:
        raise SetupError(
            f"needs {e.name}, which is not installed",
            where="omnilive serve",
            mend="pip install 'omnilive-edge[serve]'.",
        ) from e
    asyncio.run(run_service(config, _say))
    return 0


def _say(line: str) -> None:
    """Print a line; where it says what a phone can open, for its camera as well."""
    print(line, flush=True)
    if line.startswith(READY):
        url = reachable(line.split()[2])
        code = qr_code(url)
        if code and sys.stdout.isatty():
            print(f"{url}\n{code}", flush=True)
