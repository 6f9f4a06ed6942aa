from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from omnilive_export.graphs.decoder import decoder_graph
from omnilive_export.graphs.rope import rope_tables
from omnilive_export.graphs.weight_file import write_graph
from omnilive_export.models.internlm2 import ungrouped_rows
from omnilive_export.precision import pack_precision
from omnilive_export.reading.row_source import ArrayRows, read_all
from omnilive_export.specs import DecoderSpec, RopeSpec
from omnilive_export.weights import (
    DecoderLayerWeights,
    DecoderWeights,
    LinearWeights,
    PloraWeights,
)

SPEC = DecoderSpec(
    hidden=64,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    intermediate=48,
    vocab=20,
    max_positions=64,
    eps=1e-6,
    rope=RopeSpec(1e4),
)
RANK = 4


def random_linear(rng: np.random.Generator, rows: int, columns: int, plora: float) -> LinearWeights:
    def matrix(n: int, k: int) -> ArrayRows:
        return ArrayRows(rng.standard_normal((n, k)) / np.sqrt(k))

    lora = PloraWeights(ArrayRows(read_all(matrix(RANK, columns)) * plora), matrix(rows, RANK))
    return LinearWeights(matrix(rows, columns), None, lora)


def weights(plora: float) -> DecoderWeights:
    """Seeded weights whose Partial-LoRA is ``plora`` times as large."""
    rng = np.random.default_rng(0)
    ones = ArrayRows(np.ones(SPEC.hidden))
    layers = [
        DecoderLayerWeights(
            attention_norm=ones,
            qkv=random_linear(rng, SPEC.qkv_width, SPEC.hidden, plora),
            attention_out=random_linear(rng, SPEC.hidden, SPEC.q_width, plora),
            mlp_norm=ones,
            gate=random_linear(rng, SPEC.intermediate, SPEC.hidden, plora),
            up=random_linear(rng, SPEC.intermediate, SPEC.hidden, plora),
            down=random_linear(rng, SPEC.hidden, SPEC.intermediate, plora),
        )
        for _ in range(SPEC.layers)
    ]
    head = ArrayRows(rng.standard_normal((SPEC.vocab, SPEC.hidden)))
    return DecoderWeights(layers.__getitem__, ones, head)


class Lm:
    """A written decoder run on a fresh arena."""

    def __init__(self, folder: Path, plora: float, precision: str = "fp32") -> None:
        graph = decoder_graph(
            "lm", SPEC, weights(plora), pack_precision(precision, block=32), plora=True
        )
        write_graph(graph, folder, advance=lambda cost: None)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(str(folder / "lm" / "model.onnx"), options)

    def logits(self, embeds: np.ndarray, plora_rows: list[int], rows: list[int]) -> np.ndarray:
        tokens = len(embeds)
        feeds = {
            "inputs_embeds": embeds[None],
            "plora_rows": np.array(plora_rows, np.int64),
            "logit_rows": np.array(rows, np.int64),
            "seqlens_k": np.array([tokens - 1], np.int32),
            "total_sequence_length": np.array(tokens, np.int32),
        }
        for i in range(SPEC.layers):
            for part in ("key", "value"):
                feeds[f"past_key_values.{i}.{part}"] = np.zeros(
                    (1, SPEC.kv_heads, SPEC.max_positions, SPEC.head_dim), np.float32
                )
        return self.session.run(["logits"], feeds)[0][0]


def embeddings(tokens: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((tokens, SPEC.hidden)).astype(np.float32)


@pytest.mark.parametrize("precision", ("fp32", "int8", "int4"))
def test_without_rows_partial_lora_changes_nothing_however_large(
    tmp_path: Path, precision: str
) -> None:
    logits = []
    for plora in (0.0, 1e12):
        folder = tmp_path / str(plora)
        folder.mkdir()
        logits.append(Lm(folder, plora, precision).logits(embeddings(5), [], [0, 4]))
    np.testing.assert_array_equal(logits[0], logits[1])


def test_partial_lora_changes_its_own_rows_and_what_attends_to_them(tmp_path: Path) -> None:
    lm = Lm(tmp_path, 1.0)
    x, rows = embeddings(6), list(range(6))
    plain = lm.logits(x, [], rows)
    third = lm.logits(x, [2], rows)
    np.testing.assert_array_equal(third[:2], plain[:2])
    assert (np.abs(third[2:] - plain[2:]).max(axis=1) > 1e-3).all()
    np.testing.assert_allclose(lm.logits(x, [4, 0, 2], rows), lm.logits(x, [0, 2, 4], rows))


def test_partial_lora_of_zeros_is_the_base_model(tmp_path: Path) -> None:
    lm = Lm(tmp_path, 0.0)
    x = embeddings(4)
    np.testing.assert_allclose(lm.logits(x, [0, 1, 2, 3], [3]), lm.logits(x, [], [3]), rtol=1e-6)


def test_logits_come_for_the_rows_asked_for_in_their_order(tmp_path: Path) -> None:
    lm = Lm(tmp_path, 1.0)
    x = embeddings(5)
    everything = lm.logits(x, [1], [0, 1, 2, 3, 4])
    np.testing.assert_allclose(lm.logits(x, [1], [3, 0]), everything[[3, 0]], rtol=1e-5, atol=1e-5)
    assert lm.logits(x, [1], []).shape == (0, SPEC.vocab)


def test_grouped_rows_come_apart_into_queries_keys_and_values() -> None:
    spec = dataclasses.replace(SPEC, heads=6, kv_heads=2, head_dim=3, hidden=18)
    fused = np.arange(spec.qkv_width * 2, dtype=np.float32).reshape(-1, 2)
    # The layout of the fused matrix: group, [queries of the group, key, value], head_dim.
    groups = fused.reshape(spec.kv_heads, spec.heads // spec.kv_heads + 2, spec.head_dim, 2)
    expected = np.concatenate(
        [
            groups[:, :-2].reshape(-1, 2),
            groups[:, -2].reshape(-1, 2),
            groups[:, -1].reshape(-1, 2),
        ]
    )
    np.testing.assert_array_equal(read_all(ungrouped_rows(ArrayRows(fused), spec)), expected)


@pytest.mark.parametrize("theta", (1e4, 1e6))
def test_rotary_tables_round_as_the_reference_does_far_out(theta: float) -> None:
    torch = pytest.importorskip("torch")
    steps = torch.arange(0, 128, 2, dtype=torch.int64).float() / 128
    angles = torch.arange(24_576).float()[:, None] * (1.0 / theta**steps)[None]
    cos, sin = rope_tables(RopeSpec(theta), head_dim=128, positions=24_576)
    np.testing.assert_allclose(cos, angles.cos().numpy(), atol=2e-6)
    np.testing.assert_allclose(sin, angles.sin().numpy(), atol=2e-6)


def test_linear_scaling_divides_positions() -> None:
    plain = rope_tables(RopeSpec(1e4), head_dim=8, positions=5)
    scaled = rope_tables(RopeSpec(1e4, position_divisor=2.0), head_dim=8, positions=9)
    np.testing.assert_allclose(scaled[0][::2], plain[0], atol=1e-6)
