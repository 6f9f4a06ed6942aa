"""Settings that need less memory, the least missed first, each planned again to see what it saves.

It proposes and never changes a run. Lower precision of the KV is not among them: it is a matter of
the recipe that a pack is built from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from omnilive.config import RuntimeConfig
from omnilive.engine.manifest import Manifest
from omnilive.plan.demand import context_tokens, new_tokens, window_clips
from omnilive.plan.memory_plan import Limits, MemoryPlan
from omnilive.plan.size import WEIGHT_BITS

LEAST_PROMPT_TOKENS = 512
"""A context leaves at least so many tokens for the question and its evidence."""

LEAST_CLIPS, LEAST_CHUNK, LEAST_FRAMES = 4, 32, 1
"""Below these a setting saves next to nothing."""

WORTH_NAMING = 0.005
"""Share of the memory (but the process's own) that a setting must save to be named."""

PRECISIONS = ("fp32", "int8", "int4")
"""Precisions of a whole pack, the dearest first."""

Planned = Callable[[RuntimeConfig], MemoryPlan]


@dataclass(frozen=True)
class Cheaper:
    """One setting changed, on top of those before it.

    Attributes:
        setting: ``section.key`` of the configuration, or ``--precision`` of a rebuild.
        value: what to set it to.
        host, device: bytes needed then.
        fits: whether that is within the limits.
    """

    setting: str
    value: int | str
    host: int
    device: int
    fits: bool


def cheaper_settings(
    manifest: Manifest, config: RuntimeConfig, limits: Limits, planned: Planned
) -> tuple[Cheaper, ...]:
    """Settings to change in this order until the plan fits; the first alone where it does.

    First what costs no quality (the size of steps), then what is remembered and shown (context,
    clips, frames), then the pack's precision, whose saving is estimated from the weights alone.

    Args:
        manifest: the pack's.
        config: the run's.
        limits: what may be taken.
        planned: plans a changed configuration.
    """
    plan = planned(config)
    found: list[Cheaper] = []
    for setting, value in _steps(manifest, config):
        changed = _with(config, setting, value)
        smaller = planned(changed)
        saved = plan.host + plan.device - smaller.host - smaller.device
        if saved < WORTH_NAMING * (plan.host - plan.process + plan.device):
            continue
        config, plan = changed, smaller
        entry = Cheaper(setting, value, plan.host, plan.device, limits.fit(plan))
        if found and found[-1].setting == setting:
            found.pop()
        found.append(entry)
        if entry.fits:
            return tuple(found)
    return (*found, *_recipes(manifest, plan, limits))


def _steps(manifest: Manifest, config: RuntimeConfig) -> Iterator[tuple[str, int]]:
    """(setting, value) from the one missed least; a setting's values go down one by one."""
    yield "prompt.tiles_per_step", 1
    for section in ("reasoning.prefill_chunk", "compression.step_tokens"):
        yield from ((section, n) for n in _halves(_get(config, section), LEAST_CHUNK))
    clips = window_clips(manifest, config)
    yield from (
        ("store.max_short_term_clips", n)
        for n in _halves(
            config.store.max_short_term_clips, max(config.long_term.max_clips, LEAST_CLIPS)
        )
    )
    least = new_tokens(manifest, config) + LEAST_PROMPT_TOKENS
    yield from (
        ("reasoning.context_tokens", n) for n in _halves(context_tokens(manifest, config), least)
    )
    yield from (("long_term.max_clips", n) for n in _halves(clips, LEAST_CLIPS))
    yield from (("budget.max_frames", n) for n in _halves(config.budget.max_frames, LEAST_FRAMES))


def _halves(value: int, least: int) -> Iterator[int]:
    while value // 2 >= least:
        value //= 2
        yield value


def _recipes(manifest: Manifest, plan: MemoryPlan, limits: Limits) -> Iterator[Cheaper]:
    """Rebuilds at lower precisions, the first that fits or else the cheapest."""
    if manifest.precision not in PRECISIONS:
        return
    lower = PRECISIONS[PRECISIONS.index(manifest.precision) + 1 :]
    entry = None
    for precision in lower:
        share = WEIGHT_BITS[precision] / WEIGHT_BITS[manifest.precision]
        saved = {
            place: sum(r.bytes.weights for r in plan.engines if r.place == place) * (1 - share)
            for place in ("host", "device")
        }
        host, device = plan.host - round(saved["host"]), plan.device - round(saved["device"])
        fits = host <= limits.host and device <= limits.device
        entry = Cheaper("--precision", precision, host, device, fits)
        if fits:
            break
    if entry is not None:
        yield entry


def _get(config: RuntimeConfig, setting: str) -> int:
    section, key = setting.split(".")
    value = getattr(getattr(config, section), key)
    return int(value)


def _with(config: RuntimeConfig, setting: str, value: int) -> RuntimeConfig:
    section, key = setting.split(".")
    changed: Any = dataclasses.replace(getattr(config, section), **{key: value})
    return dataclasses.replace(config, **{section: changed})
