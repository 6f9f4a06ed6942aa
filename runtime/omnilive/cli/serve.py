"""``omnilive serve``: the live service."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

from omnilive.config import load_config
from omnilive.errors import SetupError


def serve(
    *,
    config_file: str | None,
    pack: str | None,
    host: str | None,
    port: int | None,
    insecure: bool,
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
    given: dict[str, Any] = {"pack": pack, "host": host, "port": port, "insecure": insecure or None}
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
    asyncio.run(run_service(config, lambda line: print(line, flush=True)))
    return 0
