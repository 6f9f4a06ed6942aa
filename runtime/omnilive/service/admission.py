"""How many sessions the memory plan has room for. Arithmetic over a plan; it loads nothing."""

from __future__ import annotations

from omnilive.plan.memory_plan import DEVICE, HOST, Limits, MemoryPlan


def sessions_that_fit(plan: MemoryPlan, limits: Limits) -> int:
    """Sessions of one process that stay within the limits.

    The weights and the process itself are there once; KV arenas, activations, workspace and the
    stores of the stages belong to each session.

    Args:
        plan: of one session.
        limits: bytes that may be taken.
    """
    stores = sum(row.bytes for row in plan.stores)
    fitting = []
    for place, limit, once, each in (
        (HOST, limits.host, plan.process, stores),
        (DEVICE, limits.device, 0, 0),
    ):
        rows = [row.bytes for row in plan.engines if row.place == place]
        once += sum(row.weights for row in rows)
        each += sum(row.total - row.weights for row in rows)
        if each:
            fitting.append(max(0, (limit - once) // each))
    return min(fitting, default=0)
