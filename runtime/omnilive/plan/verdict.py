"""Whether a pack fits, decided before it is loaded: the one door of ``omnilive plan`` and of a run.

It never loads an engine.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from omnilive.config import RuntimeConfig
from omnilive.engine.backends import backend, backend_states
from omnilive.engine.manifest import Manifest
from omnilive.errors import FitError
from omnilive.plan.answer import AnswerForecast, forecast_answer
from omnilive.plan.cheaper import Cheaper, cheaper_settings
from omnilive.plan.machine import MachineMemory, machine_memory, measured_gflops
from omnilive.plan.memory_plan import Limits, MemoryPlan, limits, plan_memory
from omnilive.plan.sizes import format_bytes

FRAME_SIZE = (1280, 720)
"""Width and height taken for a source that is not known yet, pixels."""


@dataclass(frozen=True)
class Verdict:
    """A plan held against its limits.

    Attributes:
        cheaper: what to set, in order, to need less; where the plan fits, only the next setting.
        answer: what one answer will take; None when a run only asks whether it fits.
    """

    plan: MemoryPlan
    limits: Limits
    machine: MachineMemory
    fits: bool
    cheaper: tuple[Cheaper, ...]
    answer: AnswerForecast | None = None


def judge(
    manifest: Manifest,
    config: RuntimeConfig,
    *,
    frame_size: tuple[int, int] = FRAME_SIZE,
    machine: MachineMemory | None = None,
) -> Verdict:
    """Plan the memory of a run and hold it against ``config.memory_budget`` or the free memory.

    Args:
        manifest: of the pack.
        config: of the run.
        frame_size: width and height of the source's frames, pixels.
        machine: its memory; this machine's, as it is now, when None.

    Raises:
        SetupError: a backend of the pack that is here lacks a library of its own.
    """
    # What the backends load is part of the process then.
    versions = {s.name: s.version for s in backend_states() if s.available}
    for name in sorted({engine.backend for engine in manifest.engines.values()} & set(versions)):
        backend(name).prepare(config.engine)
    found = machine or machine_memory()

    def planned(changed: RuntimeConfig) -> MemoryPlan:
        return plan_memory(
            manifest, changed, found, frame_size=frame_size, backend_versions=versions
        )

    plan, allowed = planned(config), limits(config.memory_budget, found)
    cheaper = cheaper_settings(manifest, config, allowed, planned)
    return Verdict(plan, allowed, found, allowed.fit(plan), cheaper)


def with_forecast(
    verdict: Verdict,
    manifest: Manifest,
    config: RuntimeConfig,
    *,
    frame_size: tuple[int, int] = FRAME_SIZE,
) -> Verdict:
    """``verdict`` with the forecast of an answer, at the configured rate or a measured one."""
    gflops = config.memory_budget.gflops or measured_gflops(config.engine.threads)
    answer = forecast_answer(manifest, config, frame_size=frame_size, gflops=gflops)
    return dataclasses.replace(verdict, answer=answer)


def refuse_over_budget(
    manifest: Manifest, config: RuntimeConfig, *, frame_size: tuple[int, int] = FRAME_SIZE
) -> None:
    """Refuse to start what does not fit.

    Raises:
        FitError: the plan needs more than its budget, or than is free where none is set.
    """
    verdict = judge(manifest, config, frame_size=frame_size)
    if not verdict.fits:
        raise FitError(
            shortage(verdict), where=f"engine pack {manifest.name}", mend=how_to_mend(verdict)
        )


def shortage(verdict: Verdict) -> str:
    """What is needed and what there is, in one clause."""
    plan, allowed = verdict.plan, verdict.limits
    parts = [
        f"needs {format_bytes(needed)} of {place} memory of {format_bytes(limit)} ({source})"
        for place, needed, limit, source in (
            ("host", plan.host, allowed.host, allowed.host_source),
            ("device", plan.device, allowed.device, allowed.device_source),
        )
        if needed > limit
    ]
    return " and ".join(parts)


def how_to_mend(verdict: Verdict) -> str:
    """The settings that make it fit, or what is left to do where none does."""
    steps = ", ".join(f"{c.setting} = {c.value}" for c in verdict.cheaper)
    if verdict.cheaper and verdict.cheaper[-1].fits:
        return f"Set {steps}; omnilive plan shows what each saves."
    tried = f" even with {steps}" if steps else ""
    return f"It does not fit{tried}: use a smaller pack, free memory, or raise [memory_budget]."
