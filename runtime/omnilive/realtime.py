"""What a run against the wall clock finds out about its machine first. It starts nothing."""

from __future__ import annotations

import dataclasses

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
