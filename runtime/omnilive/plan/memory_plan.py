"""The memory plan of a pack: bytes per engine, lane and place against what may be taken.

Made from the manifest and the configuration alone; it never opens a file of the pack.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.config import RuntimeConfig
from omnilive.engine.cache_key import GPU_BACKENDS
from omnilive.engine.config import CUDA
from omnilive.engine.manifest import Manifest
from omnilive.memory.clip import FRAME_RECORD_BYTES
from omnilive.plan.compiled import compiled_bytes
from omnilive.plan.config import MemoryBudgetConfig
from omnilive.plan.cost import VALUE_BYTES, EngineBytes, engine_bytes
from omnilive.plan.demand import lane_demands, longest_prompt, new_tokens
from omnilive.plan.machine import MachineMemory
from omnilive.plan.size import is_estimated, size_of
from omnilive.plan.sizes import parse_bytes
from omnilive.reasoning.stitch import layout
from omnilive.session.session import PREFETCHED_ITEMS

HOST, DEVICE = "host", "device"


@dataclass(frozen=True)
class EngineRow:
    """One engine on the lane that runs it.

    Attributes:
        place: ``host`` or ``device``.
        estimated: whether the pack records no size of it, so that activations are guesses.
    """

    engine: str
    lane: str
    backend: str
    place: str
    bytes: EngineBytes
    estimated: bool


@dataclass(frozen=True)
class StoreRow:
    """Host memory that a stage holds outside its engines."""

    name: str
    lane: str
    bytes: int


@dataclass(frozen=True)
class MemoryPlan:
    """What a run of the pack holds once everything has been used to its limit.

    Attributes:
        engines: in the order data flows.
        stores: buffers and memory of the stages, at their configured limits.
        process: resident bytes of the process itself, before anything is loaded.
        tables: bytes of the embedding tables. They are mapped, and the system takes back their
            pages whenever it needs them: no part of ``host``.
    """

    engines: tuple[EngineRow, ...]
    stores: tuple[StoreRow, ...]
    process: int
    tables: int

    @property
    def host(self) -> int:
        """Bytes of host memory, the process included."""
        engines = sum(row.bytes.total for row in self.engines if row.place == HOST)
        return engines + sum(row.bytes for row in self.stores) + self.process

    @property
    def device(self) -> int:
        """Bytes of memory of a device of its own."""
        return sum(row.bytes.total for row in self.engines if row.place == DEVICE)


@dataclass(frozen=True)
class Limits:
    """What may be taken, bytes, and where each limit comes from, in words."""

    host: int
    device: int
    host_source: str
    device_source: str

    def fit(self, plan: MemoryPlan) -> bool:
        """Whether ``plan`` stays within both."""
        return plan.host <= self.host and plan.device <= self.device


def limits(budget: MemoryBudgetConfig, machine: MachineMemory) -> Limits:
    """The configured budget, else what the machine has free (and this process already has)."""
    host, device = machine.host_free + machine.process, machine.device_free
    host_source = device_source = "free on this machine"
    if budget.host:
        host, host_source = parse_bytes(budget.host, where="memory_budget.host"), "budget"
    if budget.device:
        device, device_source = parse_bytes(budget.device, where="memory_budget.device"), "budget"
    return Limits(host, device, host_source, device_source)


def plan_memory(
    manifest: Manifest,
    config: RuntimeConfig,
    machine: MachineMemory,
    *,
    frame_size: tuple[int, int],
    backend_versions: dict[str, str],
) -> MemoryPlan:
    """The plan of one session.

    Args:
        manifest: the pack's.
        config: the run's.
        machine: decides where engines of a device backend lie: on a device of its own, or where
            there is none in the host's memory, which an integrated GPU shares.
        frame_size: width and height of the source's frames, pixels.
        backend_versions: version of each backend; one that is absent counts as the newest.
    """
    on_device = DEVICE if machine.device_total else HOST
    on_cuda = config.engine.device == CUDA
    rows = []
    for demand in lane_demands(manifest, config):
        info = manifest.engines[demand.engine]
        size = size_of(info, manifest)
        if info.backend in GPU_BACKENDS:
            needed = compiled_bytes(info, size, demand)
        else:
            needed = engine_bytes(info, size, demand, backend_versions.get(info.backend, ""))
        rows.append(
            EngineRow(
                engine=demand.engine,
                lane=demand.lane,
                backend=info.backend,
                place=on_device if info.backend in GPU_BACKENDS or on_cuda else HOST,
                bytes=needed,
                estimated=is_estimated(info),
            )
        )
    tables = sum(
        t.file.bytes + (t.scales.bytes if t.scales else 0) for t in manifest.tables.values()
    )
    stores = _stores(manifest, config, frame_size)
    return MemoryPlan(tuple(rows), stores, machine.process, tables)


def _stores(
    manifest: Manifest, config: RuntimeConfig, frame_size: tuple[int, int]
) -> tuple[StoreRow, ...]:
    spec, frames = manifest.memory, config.segmentation.clip_max
    frame = frame_size[0] * frame_size[1] * 3
    short_term = config.store.max_short_term_clips * frames * spec.slots * spec.hidden
    features = frames * spec.grid**2 * spec.features
    # The open clip, and one that waits for each compression or is under way.
    open_clips = 1 + config.compression.max_concurrent
    # The newest prompt and its answer, held to find what the next prompt begins with alike.
    fed = (
        longest_prompt(manifest, config) + new_tokens(manifest, config)
    ) * manifest.reasoner.hidden
    count = config.budget.max_frames
    canvas = layout([frame_size] * count, manifest.reasoner.pixels) if count else None
    return (
        StoreRow("decoded frames ahead", "source", PREFETCHED_ITEMS * frame),
        StoreRow("frames waiting", "see", (config.lanes.see + 1) * frame),
        StoreRow("features of open clips", "remember", open_clips * features * VALUE_BYTES),
        StoreRow("short-term memory", "remember", short_term * VALUE_BYTES),
        StoreRow("global memory", "remember", config.store.max_clips * spec.hidden * VALUE_BYTES),
        StoreRow(
            "records of frames", "remember", config.store.max_clips * frames * FRAME_RECORD_BYTES
        ),
        StoreRow("rows the answer's arena was fed", "reason", fed * VALUE_BYTES),
        # Of a service: kept for a client that comes back, and waiting to be sent.
        StoreRow("messages of a client", "speak", 2 * config.client.unsent_bytes),
        StoreRow(
            "stitched picture", "reason", 2 * canvas.width * canvas.height * 3 if canvas else 0
        ),
    )
