"""Toy graphs with the contract's inputs and outputs, for the packs that unit tests open."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from omnilive.engine.manifest import TensorInfo

HEADS, KV_HEADS, HEAD_DIM, POSITIONS = 2, 1, 16, 64
WIDTH = HEADS * HEAD_DIM
VOCAB = 400
PIXELS, GRID, FEATURES, CLS = 8, 2, 12, 6
_ONNX_DTYPES = {
    "float32": TensorProto.FLOAT,
    "uint8": TensorProto.UINT8,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
}
Built = tuple[onnx.ModelProto, tuple[TensorInfo, ...], tuple[TensorInfo, ...]]


def _model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    inputs: tuple[TensorInfo, ...],
    outputs: tuple[TensorInfo, ...],
    more_inputs: tuple[TensorInfo, ...] = (),
    more_outputs: tuple[TensorInfo, ...] = (),
) -> Built:
    def value(tensor: TensorInfo) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(
            tensor.name, _ONNX_DTYPES[tensor.dtype], list(tensor.shape)
        )

    graph = helper.make_graph(
        nodes,
        "toy",
        [value(t) for t in (*inputs, *more_inputs)],
        [value(t) for t in (*outputs, *more_outputs)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)],
        ir_version=10,
    )
    return model, inputs, outputs


def _weight(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


def vit(rng: np.random.Generator, source: str, *, with_cls: bool) -> Built:
    """Mean colour of a picture, projected to every patch."""
    width = FEATURES if with_cls else WIDTH
    patches = GRID * GRID
    nodes = [
        helper.make_node("Cast", [source], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["flat"]),
        helper.make_node(
            "Reshape", ["flat", "shape"], ["features" if with_cls else "embeds"], allowzero=0
        ),
    ]
    weights = {
        "axes": np.array([1, 2], np.int64),
        "w": _weight(rng, 3, patches * width),
        "shape": np.array([-1, patches, width], np.int64),
    }
    outputs = [TensorInfo("features" if with_cls else "embeds", "float32", ("n", patches, width))]
    if with_cls:
        nodes.append(helper.make_node("MatMul", ["mean", "wc"], ["cls"]))
        weights["wc"] = _weight(rng, 3, CLS)
        outputs.append(TensorInfo("cls", "float32", ("n", CLS)))
    inputs = (TensorInfo(source, "uint8", ("n", PIXELS, PIXELS, 3)),)
    return _model(nodes, weights, inputs, tuple(outputs))


def matmul(rng: np.random.Generator, source: str, target: str) -> Built:
    width = FEATURES if source == "features" else WIDTH
    nodes = [
        helper.make_node("Reshape", [source, "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "w"], [target]),
    ]
    weights = {"flat": np.array([-1, width], np.int64), "w": _weight(rng, width, WIDTH)}
    shape = ("t", GRID * GRID, FEATURES) if source == "features" else ("n", WIDTH)
    return _model(
        nodes,
        weights,
        (TensorInfo(source, "float32", shape),),
        (TensorInfo(target, "float32", ("m", WIDTH)),),
    )


def audio_encoder(rng: np.random.Generator) -> Built:
    """Every sample becomes a token."""
    nodes = [
        helper.make_node("Unsqueeze", ["pcm", "last"], ["column"]),
        helper.make_node("MatMul", ["column", "w"], ["embeds"]),
    ]
    weights = {"last": np.array([2], np.int64), "w": _weight(rng, 1, WIDTH)}
    return _model(
        nodes,
        weights,
        (TensorInfo("pcm", "float32", (1, "n")),),
        (TensorInfo("embeds", "float32", (1, "m", WIDTH)),),
    )


def decoder(rng: np.random.Generator, output: str, *, plora: bool = False) -> Built:
    """One attention layer with rotary positions, then the head on the asked rows."""
    angle = np.arange(POSITIONS)[:, None] / 10_000 ** (np.arange(HEAD_DIM // 2) * 2 / HEAD_DIM)
    weights = {
        "wq": _weight(rng, WIDTH, WIDTH),
        "wk": _weight(rng, WIDTH, KV_HEADS * HEAD_DIM),
        "wv": _weight(rng, WIDTH, KV_HEADS * HEAD_DIM),
        "cos": np.cos(angle).astype(np.float32),
        "sin": np.sin(angle).astype(np.float32),
    }
    inputs = [TensorInfo("inputs_embeds", "float32", (1, "s", WIDTH))]
    nodes = []
    source = "inputs_embeds"
    if plora:
        inputs.append(TensorInfo("plora_rows", "int64", ("r",)))
        weights |= {
            "a": _weight(rng, WIDTH, 4),
            "b": _weight(rng, 4, WIDTH),
            "zero": np.array([0], np.int64),
            "one": np.array([1], np.int64),
        }
        nodes += [
            helper.make_node("Squeeze", [source, "zero"], ["rows_in"]),
            helper.make_node("Gather", ["rows_in", "plora_rows"], ["picked"]),
            helper.make_node("MatMul", ["picked", "a"], ["low"]),
            helper.make_node("MatMul", ["low", "b"], ["added"]),
            helper.make_node("Unsqueeze", ["plora_rows", "one"], ["where"]),
            helper.make_node(
                "ScatterND", ["rows_in", "where", "added"], ["rows_out"], reduction="add"
            ),
            helper.make_node("Unsqueeze", ["rows_out", "zero"], ["adapted"]),
        ]
        source = "adapted"
    nodes += [
        helper.make_node("MatMul", [source, "wq"], ["q"]),
        helper.make_node("MatMul", [source, "wk"], ["k"]),
        helper.make_node("MatMul", [source, "wv"], ["v"]),
        helper.make_node(
            "GroupQueryAttention",
            [
                *("q", "k", "v", "past_key_values.0.key", "past_key_values.0.value"),
                *("seqlens_k", "total_sequence_length", "cos", "sin"),
            ],
            ["mixed", "present.0.key", "present.0.value"],
            domain="com.microsoft",
            num_heads=HEADS,
            kv_num_heads=KV_HEADS,
            do_rotary=1,
        ),
    ]
    if output == "hidden":
        nodes.append(helper.make_node("Add", ["mixed", source], ["hidden"]))
        outputs = (TensorInfo("hidden", "float32", (1, "s", WIDTH)),)
    else:
        inputs.append(TensorInfo("logit_rows", "int64", ("q",)))
        weights["head"] = _weight(rng, WIDTH, VOCAB)
        nodes += [
            helper.make_node("Add", ["mixed", source], ["summed"]),
            helper.make_node("Gather", ["summed", "logit_rows"], ["asked"], axis=1),
            helper.make_node("MatMul", ["asked", "head"], ["logits"]),
        ]
        outputs = (TensorInfo("logits", "float32", (1, "q", VOCAB)),)
    cache = (1, KV_HEADS, "capacity", HEAD_DIM)
    past = tuple(
        TensorInfo(f"past_key_values.0.{part}", "float32", cache) for part in ("key", "value")
    )
    present = tuple(TensorInfo(f"present.0.{part}", "float32", cache) for part in ("key", "value"))
    place = (
        TensorInfo("seqlens_k", "int32", (1,)),
        TensorInfo("total_sequence_length", "int32", ()),
    )
    return _model(nodes, weights, tuple(inputs), outputs, (*past, *place), present)
