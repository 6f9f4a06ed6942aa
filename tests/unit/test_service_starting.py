"""What a service settles before it opens its pack."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fakes_pack import write_pack
from omnilive.config import RuntimeConfig
from omnilive.engine.config import EngineConfig
from omnilive.errors import PackError
from omnilive.scheduling.cores import allowed_cores
from omnilive.service import service
from omnilive.service.config import ServiceConfig


@pytest.mark.parametrize(("asked", "most"), [(0, allowed_cores()), (3, 3)])
def test_engines_get_as_many_threads_as_lanes_have_cores_to_share(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: int, most: int
) -> None:
    write_pack(tmp_path)
    opened: list[EngineConfig] = []

    def open_pack(path: Path, *, config: EngineConfig, **_: Any) -> None:
        opened.append(config)
        raise PackError("is not opened", where=str(path), mend="")

    monkeypatch.setattr(service, "open_pack", open_pack)
    config = dataclasses.replace(
        RuntimeConfig(),
        service=ServiceConfig(pack=str(tmp_path)),
        engine=EngineConfig(threads=asked),
    )
    with pytest.raises(PackError):
        asyncio.run(service.serve(config, print))
    assert (asked or 1) <= opened[0].threads <= most
