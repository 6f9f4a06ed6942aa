"""The TensorRT dialect of every micro engine against the ``ort`` dialect, both on ORT's CPU."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from tensorrt_running import (
    Decoding,
    OrtOnGrid,
    Shape,
    relative_error,
    session,
    write_engines,
)

from omnilive.engine.manifest import ENGINE_NAMES
from omnilive_export.precision import PackPrecision, pack_precision
from omnilive_export.tensorrt.dialect import compute_type, tensorrt_dialect
from omnilive_export.verify import inputs

TOLERANCE = {"float32": 2e-5, "float16": 1e-2}
"""Largest relative error by compute type, on the same weights: between the dialects, and between
ONNX Runtime and onnx's reference evaluator. Found: 6.3e-6 and 5.3e-3."""

DECODERS = tuple(name for name in ENGINE_NAMES if name.endswith("_lm"))
STATELESS = tuple(name for name in ENGINE_NAMES if name not in DECODERS)
CAPACITY = 40
BLOCKS = (1, 7, 1, 12, 1)

PRECISIONS = {
    "fp32": pack_precision("fp32", block=64),
    "int4": pack_precision("int4", block=64),
}


class Dialects:
    """Folders of both dialects' engines at one precision."""

    def __init__(self, folder: Path, checkpoint: Path, precision: PackPrecision) -> None:
        self.precision = precision
        self.tensorrt = write_engines(
            checkpoint, folder / "tensorrt", precision, tensorrt_dialect(precision)
        )
        self.ort = write_engines(
            checkpoint, folder / "ort", precision, partial(OrtOnGrid, precision=precision)
        )


@pytest.fixture(scope="session", params=list(PRECISIONS))
def dialects(
    request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Dialects:
    folder = tmp_path_factory.mktemp(f"dialects-{request.param}")
    return Dialects(folder, checkpoint, PRECISIONS[request.param])


def stateless_feeds(engine: str, shape: list[int | str]) -> dict[str, np.ndarray]:
    """Seeded inputs of an engine whose first input has ``shape``."""
    rng = np.random.default_rng(7)
    if engine in ("mem_vit", "vlm_vit"):
        name = "frames" if engine == "mem_vit" else "tiles"
        pixels = int(shape[1])
        pictures = [inputs.noise_frames(rng, 1, pixels), inputs.structured_frames(rng, 2, pixels)]
        return {name: np.concatenate(pictures)}
    if engine == "aud_enc":
        return {"pcm": inputs.speech_like(rng, 23_457)[None]}
    if engine == "mem_proj":
        return {"features": rng.standard_normal((3, *shape[1:])).astype(np.float32)}
    return {"memory": rng.standard_normal((5, *shape[1:])).astype(np.float32)}


def embeddings(model, tokens: int, seed: int = 3) -> np.ndarray:
    hidden = Shape.of(model).hidden
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((tokens, hidden)) * 0.05).astype(np.float32)


@pytest.mark.parametrize("engine", STATELESS)
def test_a_stateless_engine_gives_what_the_ort_dialect_gives(
    dialects: Dialects, engine: str
) -> None:
    ours, theirs = session(dialects.tensorrt, engine), session(dialects.ort, engine)
    feeds = stateless_feeds(engine, theirs.get_inputs()[0].shape)
    limit = TOLERANCE[compute_type(engine, dialects.precision)]
    for found, expected in zip(ours.run(None, feeds), theirs.run(None, feeds), strict=True):
        assert found.dtype == expected.dtype and found.shape == expected.shape
        assert relative_error(found, expected) <= limit


@pytest.mark.parametrize("engine", DECODERS)
def test_a_decoder_gives_what_the_ort_dialect_gives_block_by_block(
    dialects: Dialects, engine: str
) -> None:
    ours, theirs = session(dialects.tensorrt, engine), session(dialects.ort, engine)
    # The arena holds rubbish where nothing was written yet: the mask alone must keep it out.
    found, expected = Decoding(ours, CAPACITY, stale=3.0), Decoding(theirs, CAPACITY)
    limit = TOLERANCE[compute_type(engine, dialects.precision)]
    x = embeddings(ours, sum(BLOCKS))
    for size in BLOCKS:
        block = x[found.length : found.length + size]
        rows = range(size)
        plora = rows[1::2] if engine == "vlm_lm" else ()
        a = found.append(block, rows=rows, plora=plora)
        b = expected.append(block, rows=rows, plora=plora)
        assert relative_error(a, b) <= limit
    for name, buffer in found.arena.items():
        written = buffer[:, :, : found.length]
        assert relative_error(written, expected.arena[name][:, :, : found.length]) <= limit


@pytest.mark.parametrize("engine", ["mem_to_vlm", "mem_proj"])
def test_the_reference_evaluator_gives_the_same_for_a_stateless_engine(
    dialects: Dialects, engine: str
) -> None:
    ours = session(dialects.tensorrt, engine)
    feeds = stateless_feeds(engine, ours.get_inputs()[0].shape)
    reference = ReferenceEvaluator(onnx.load(dialects.tensorrt / engine / "model.onnx"))
    limit = TOLERANCE[compute_type(engine, dialects.precision)]
    for a, b in zip(ours.run(None, feeds), reference.run(None, feeds), strict=True):
        assert relative_error(a, b) <= limit


@pytest.mark.parametrize("engine", DECODERS)
def test_the_reference_evaluator_gives_the_same_for_a_decoder(
    dialects: Dialects, engine: str
) -> None:
    ours = session(dialects.tensorrt, engine)
    reference = ReferenceEvaluator(onnx.load(dialects.tensorrt / engine / "model.onnx"))
    found = Decoding(ours, CAPACITY)
    expected = Decoding(ours, CAPACITY, runner=reference)
    limit = TOLERANCE[compute_type(engine, dialects.precision)]
    x = embeddings(ours, 6)
    for block in (x[:5], x[5:]):
        rows = range(len(block))
        plora = [0] if engine == "vlm_lm" else []
        a = found.append(block, rows=rows, plora=plora)
        assert relative_error(a, expected.append(block, rows=rows, plora=plora)) <= limit


@settings(max_examples=8)
@given(cut=st.integers(1, 11), capacity=st.integers(12, 24))
def test_neither_cut_nor_capacity_changes_what_a_prompt_gives(
    dialects: Dialects, cut: int, capacity: int
) -> None:
    model = session_once(dialects.tensorrt, "mem_lm")
    x = embeddings(model, 12)
    whole = Decoding(model, 12).append(x)
    parts = Decoding(model, capacity, stale=-5.0)
    joined = np.concatenate([parts.append(x[:cut]), parts.append(x[cut:])])
    limit = TOLERANCE[compute_type("mem_lm", dialects.precision)]
    assert relative_error(joined, whole) <= limit


def test_partial_lora_leaves_other_rows_alone_and_may_have_no_rows(dialects: Dialects) -> None:
    model = session_once(dialects.tensorrt, "vlm_lm")
    x = embeddings(model, 5)
    rows = range(5)
    plain = Decoding(model, 8).append(x, rows=rows)
    third = Decoding(model, 8).append(x, rows=rows, plora=[2])
    np.testing.assert_array_equal(third[:2], plain[:2])
    assert (np.abs(third[2:] - plain[2:]).max(axis=1) > 0).all()


_sessions: dict[tuple[Path, str], object] = {}


def session_once(folder: Path, engine: str):
    """A session that the examples of a property share."""
    key = (folder, engine)
    if key not in _sessions:
        _sessions[key] = session(folder, engine)
    return _sessions[key]
