"""What a run against the wall clock finds out about its machine first. It starts nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from omnilive.config import RuntimeConfig
from omnilive.scheduling.cores import allowed_cores, measured_cores


def with_measured_threads(config: RuntimeConfig) -> RuntimeConfig:
    """``config`` with ``engine.threads`` measured where it is left open.

    The lanes share as many cores as an engine has threads, unless ``lanes.cores`` says otherwise:
    two engines never run on the same core at once.
    """
    if config.engine.threads:
        return config
    engine = dataclasses.replace(config.engine, threads=measured_cores(allowed_cores()))
    return dataclasses.replace(config, engine=engine)


def cores_of_all_sessions(
    config: RuntimeConfig, measure: Callable[[], int] = lambda: measured_cores(allowed_cores())
) -> int:
    """Cores that the lanes of all sessions of one process share.

    All there are, whatever one engine uses of them: ``lanes.cores``, or as many as are worth a
    thread each, and as many as an engine has threads.

    Args:
        config: with ``engine.threads`` given or measured.
        measure: counts the cores worth a thread.
    """
    return config.lanes.cores or max(config.engine.threads, measure())
