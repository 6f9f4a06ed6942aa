from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive_export.graphs.builder import GraphBuilder, PlannedTensor
from omnilive_export.graphs.clip_vit import folded_patch_weights
from omnilive_export.graphs.projectors import pool_projector_graph
from omnilive_export.graphs.weight_file import ALIGNMENT, write_graph
from omnilive_export.models.host_mlp import host_mlp
from omnilive_export.precision import FP32, LinearFormat
from omnilive_export.progress import PlainView
from omnilive_export.reading.row_source import ArrayRows
from omnilive_export.specs import PoolProjectorSpec
from omnilive_export.weights import LinearWeights, MlpWeights

PLAIN = LinearFormat(FP32, 32)


def mlp_weights(inputs: int, outputs: int) -> MlpWeights:
    rng = np.random.default_rng(0)

    def layer(rows: int, columns: int) -> LinearWeights:
        weight = rng.standard_normal((rows, columns)) / math.sqrt(columns)
        return LinearWeights(ArrayRows(weight), ArrayRows(rng.standard_normal(rows)))

    return MlpWeights(layer(outputs, inputs), layer(outputs, outputs))


@given(
    seed=st.integers(0, 999),
    mean=st.tuples(*[st.floats(0.2, 0.8)] * 3),
    std=st.tuples(*[st.floats(0.1, 0.5)] * 3),
)
def test_folded_patches_equal_normalizing_first(
    seed: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(seed)
    patch = rng.standard_normal((6, 3, 4, 4)).astype(np.float32)
    pixels = rng.integers(0, 256, (4, 4, 3))
    normalized = (pixels / 255.0 - np.array(mean)) / np.array(std)
    expected = np.einsum("ocyx,yxc->o", patch.astype(np.float64), normalized)
    rows, bias = folded_patch_weights(patch, mean, std)
    found = pixels.reshape(-1).astype(np.float64) @ rows + bias
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("frames", (1, 3))
def test_pooled_tokens_are_every_token_then_slots_then_their_mean(
    tmp_path: Path, frames: int
) -> None:
    spec = PoolProjectorSpec(grid=4, features=8, side=2, hidden=6)
    weights = mlp_weights(8, 6)
    write_graph(
        pool_projector_graph("pool", spec, weights, PLAIN, max_frames=4),
        tmp_path,
        advance=lambda cost: None,
    )
    session = ort.InferenceSession(str(tmp_path / "pool" / "model.onnx"))
    x = np.random.default_rng(1).standard_normal((frames, 16, 8)).astype(np.float32)
    maps = x.reshape(frames, 4, 4, 8)
    slots = [
        maps[t, r : r + 2, c : c + 2].mean(axis=(0, 1))
        for t in range(frames)
        for r in (0, 2)
        for c in (0, 2)
    ]
    joined = np.concatenate([x.reshape(-1, 8), slots, x.reshape(-1, 8).mean(axis=0)[None]])
    found = session.run(None, {"features": x})[0]
    assert found.shape == (frames * 16 + 4 * frames + 1, 6)
    np.testing.assert_allclose(found, host_mlp(joined, weights), atol=1e-5)


def test_weights_start_on_pages_and_progress_adds_up_to_the_plan(tmp_path: Path) -> None:
    b = GraphBuilder("g")
    x = b.input("x", "float32", (1,))
    first = np.arange(700, dtype=np.float32)
    second = np.arange(3000, dtype=np.float32).reshape(3, 1000)

    def rows():
        yield from second

    b.op("Add", [x, b.array("first", first)], "sum")
    b.op("Add", ["sum", b.planned(PlannedTensor("second", "float32", (3, 1000), rows, 50))], "y")
    graph = b.finish()
    steps: list[int] = []
    model, data = write_graph(graph, tmp_path, advance=steps.append)
    assert sum(steps) == graph.cost == 750
    raw = (tmp_path / data.path).read_bytes()
    assert raw[: first.nbytes] == first.tobytes()
    assert raw[ALIGNMENT : ALIGNMENT + second.nbytes] == second.tobytes()
    assert (model.path, data.bytes) == ("g/model.onnx", len(raw))


def test_a_weight_that_is_not_as_planned_is_a_bug_that_shows(tmp_path: Path) -> None:
    b = GraphBuilder("g")
    values = np.zeros(3, np.float32)
    b.planned(PlannedTensor("w", "float32", (4,), lambda: iter((values,)), 4))
    with pytest.raises(ValueError, match="w is planned with 16 bytes, 12 were made"):
        write_graph(b.finish(), tmp_path, advance=lambda cost: None)


def test_a_piped_build_shows_one_line_per_part_with_what_is_done() -> None:
    stream = io.StringIO()
    view = PlainView(stream)
    view.total(200)
    view.stage("mem_vit")
    view.advance(50)
    view.stage("mem_lm")
    view.advance(150)
    view.stage("tokenizers")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "mem_vit"
    assert lines[1].startswith("mem_lm (25% done, ")
    assert lines[1].endswith(" s left)")
    assert lines[2] == "tokenizers"
