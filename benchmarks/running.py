"""Runs one source through one pack against the wall clock and returns what the run logged."""

from __future__ import annotations

import dataclasses
import resource
import sys
from contextlib import closing
from pathlib import Path

from omnilive.config import RuntimeConfig, load_config
from omnilive.engine.pack import EnginePack
from omnilive.eventlog import Listener
from omnilive.realtime import with_measured_threads
from omnilive.report.reading import RunLog, read_run
from omnilive.session.session import RunOptions, Session
from omnilive.sources.media import open_media

INSTRUCTION_THRESHOLD = 0.0
"""Every utterance is answered: without training the check is noise, and with it the figures of a
question must not depend on whether the check let it through."""


def benchmark_config(preset: str, file: Path | None) -> RuntimeConfig:
    """The preset, changed by a TOML file, on the threads measured, with every utterance answered.

    Raises:
        ConfigError: as ``load_config``.
    """
    config = with_measured_threads(load_config(preset, file))
    check = dataclasses.replace(config.instruction, threshold=INSTRUCTION_THRESHOLD)
    return dataclasses.replace(config, instruction=check)


def run_once(
    pack: EnginePack,
    config: RuntimeConfig,
    source: str,
    folder: Path,
    *,
    preset: str,
    seed: int,
    listener: Listener,
) -> RunLog:
    """One session in real time, in this process.

    Raises:
        OmniLiveError: from any stage.
    """
    with closing(open_media(source, config.source)) as media:
        options = RunOptions(preset=preset, realtime=True, seed=seed)
        session = Session(pack, config, options, folder, (listener,))
        try:
            session.run(media)
        finally:
            session.close()
    return read_run(folder)


def peak_rss_bytes() -> int:
    """The most memory this process ever had resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
