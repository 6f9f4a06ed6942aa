"""Lanes under load: how long frames wait while engines run without pause.

The loads are engines run step by step, as a session runs them: each step is one job, and the next
is submitted when its result has reached the loop.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from lane_bars import Row
from omnilive.engine.pack import EnginePack
from omnilive.lanes import Finished, Job, Lane, LanesConfig, ThreadLanes, Work
from omnilive.memory.compressor import Compressor
from omnilive.memory.config import CompressionConfig
from omnilive.perception.frame_encoder import FrameEncoder, FrameFeatures
from omnilive.reasoning.config import ReasoningConfig
from omnilive.scheduling.cores import core_shares
from omnilive.scheduling.trace import SPANS_KEPT
from omnilive.tasks import Task, TaskQueue

STEP_S = 0.05
BURN_S = 0.005
WIDTH, MATRICES = 2048, 4
"""A decode step is products with matrices that no cache holds."""
CLIP_FRAMES = 16
PREFILL_TOKENS = 4096
FRAME = (720, 1280, 3)

Steps = Generator[Work[Any], None, None]


@dataclass
class Watched:
    """What happened to the frames, and how long the load's steps and the frames themselves took."""

    waits_us: list[float] = field(default_factory=list)
    own_us: list[float] = field(default_factory=list)
    steps_us: list[float] = field(default_factory=list)
    lost: int = 0


def decode_steps(threads: int) -> Callable[[], Steps]:
    """Steps of about 50 ms of a decoder-like engine: one row through matrix after matrix."""
    session = _step_engine(threads)
    row = np.ones((1, WIDTH), np.float32)

    def steps() -> Steps:
        while True:
            session.run(None, {"x": row})
            yield Work(None, 0)

    return steps


def burning_steps() -> Steps:
    """Steps of 5 ms of Python that lets nobody else have the interpreter meanwhile."""
    while True:
        until = time.perf_counter() + BURN_S
        while time.perf_counter() < until:
            pass
        yield Work(None, 0)


def prefill_steps(pack: EnginePack) -> Callable[[], Steps]:
    """4 k tokens through the pack's reasoner, a chunk a step, again and again."""
    decoder, chunk = pack.decoder("vlm_lm"), ReasoningConfig().prefill_chunk
    arena = decoder.new_arena(PREFILL_TOKENS)
    width = next(
        t.shape[-1] for t in pack.manifest.engines["vlm_lm"].inputs if t.name == "inputs_embeds"
    )
    block = np.full((chunk, int(width)), 0.01, np.float32)

    def steps() -> Steps:
        while True:
            if arena.length + chunk > PREFILL_TOKENS:
                arena.truncate(0)
            decoder.logits(arena, block, rows=np.zeros(0, np.int64))
            yield Work(None, 0)

    return steps


def compression_steps(pack: EnginePack) -> Callable[[], Steps]:
    """Clips of 16 frames through the pack's compressor, as a session steps it."""
    compressor = Compressor(pack, CompressionConfig())
    shape = next(t.shape for t in pack.manifest.engines["mem_proj"].inputs)
    features = [np.zeros([int(n) for n in shape[1:]], np.float32) for _ in range(CLIP_FRAMES)]

    def steps() -> Steps:
        while True:
            compression = compressor.begin(features, 0, CLIP_FRAMES * 1_000_000)
            try:
                while not compression.step():
                    yield Work(None, 0)
            finally:
                compression.cancel()
            yield Work(None, 0)

    return steps


def watch(
    pack: EnginePack,
    lane: Lane,
    steps: Steps,
    threads: int,
    frames: int,
    fps: float,
    on_device: Collection[Lane] = frozenset(),
) -> Watched:
    """Encode frames at ``fps`` while ``lane`` runs ``steps`` without pause.

    Lanes ``on_device`` share no cores, as in a session.
    """
    encoder, rng, watched = FrameEncoder(pack), random.Random(7), Watched()
    rgb = np.zeros(FRAME, np.uint8)
    encoder.encode(rgb)
    next(steps)
    lanes = ThreadLanes(LanesConfig(), core_shares(threads, on_device), spans_kept=SPANS_KEPT)
    lanes.start()
    tasks = TaskQueue(lanes, lane)
    left = frames

    def submit(due_us: int) -> None:
        encoding = encoder.begin(rgb)

        def encode() -> Work[FrameFeatures]:
            seen = encoding.features()
            np.asarray(seen.features)  # a device that was only given the frame has none of it yet
            return Work(seen, 0)

        def done(finished: Finished[FrameFeatures]) -> None:
            watched.own_us.append(finished.wall_us)
            arrived()

        def lost() -> None:
            watched.lost += 1
            arrived()

        job = Job(Lane.SEE, encode, done, dropped=lost, native=encoding.native, name=str(due_us))
        lanes.submit(job)

    def arrived() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            lanes.cancel_before(2)  # the load ends

    start_us = lanes.now_us()
    for i in range(frames):
        # Frames come at any phase of a step. Their clock starts when they are due, which is their
        # jobs' name: a loop that is late for one makes it wait.
        at_us = start_us + round((i + rng.random()) * 1e6 / fps)
        lanes.at(at_us, partial(submit, at_us))
    tasks.submit(Task(steps, lambda step: watched.steps_us.append(step.wall_us), generation=1))
    try:
        lanes.run()
    finally:
        lanes.close()
    seen = [s for s in lanes.spans() if s.lane is Lane.SEE and s.state == "done"]
    watched.waits_us = [span.ended_us - int(span.name) for span in seen]
    return watched


def frame_rows(name: str, watched: Watched) -> list[Row]:
    """Waits of the frames beside one step and their own service time, and frames lost."""
    step = Row("", "ms", tuple(us / 1e3 for us in watched.steps_us)).summary
    own = Row("", "ms", tuple(us / 1e3 for us in watched.own_us)).summary
    bar = (step.p99 if step else 0.0) + (own.p99 if own else 0.0)
    waits = tuple(us / 1e3 for us in watched.waits_us)
    return [
        Row(f"step of {name}", "ms", tuple(us / 1e3 for us in watched.steps_us)),
        Row(
            f"frame's own service time during {name}",
            "ms",
            tuple(us / 1e3 for us in watched.own_us),
        ),
        Row(f"frame → feature during {name}", "ms", waits, "p99", bar),
        Row(f"frames lost during {name}", "frames", (float(watched.lost),), "maximum", 0.0),
    ]


def _step_engine(threads: int) -> ort.InferenceSession:
    """A chain of matrix products, as many as take about 50 ms."""
    probe = _chain(threads, MATRICES)
    row = np.ones((1, WIDTH), np.float32)
    probe.run(None, {"x": row})
    begin = time.perf_counter()
    for _ in range(3):
        probe.run(None, {"x": row})
    each = (time.perf_counter() - begin) / (3 * MATRICES)
    return _chain(threads, max(MATRICES, round(STEP_S / each)))


def _chain(threads: int, products: int) -> ort.InferenceSession:
    rng = np.random.default_rng(5)
    weights = [
        numpy_helper.from_array(
            (rng.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32), f"w{i}"
        )
        for i in range(MATRICES)
    ]
    names = ["x", *(f"h{i}" for i in range(1, products)), "y"]
    nodes = [
        helper.make_node("MatMul", [names[i], f"w{i % MATRICES}"], [names[i + 1]])
        for i in range(products)
    ]
    io = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, WIDTH]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "steps", io[:1], io[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )
