from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import onnx
import pytest
from onnx import TensorProto, helper

from export_checkpoints import micro_checkpoint
from omnilive.engine.manifest import ENGINE_NAMES
from omnilive.errors import BuildError, ConfigError
from omnilive_export.graphs.weight_file import write_graph
from omnilive_export.plan import plan_pack
from omnilive_export.precision import pack_precision
from omnilive_export.reading.checkpoint import find_folders
from omnilive_export.tensorrt.dialect import compute_type, stored_kinds, tensorrt_dialect
from omnilive_export.tensorrt.operators import check_operators, operator_problems

VERSIONS = ("10.3", "10.13", "11.4")


@pytest.fixture(scope="module", params=["fp32", "int4"])
def models(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, onnx.ModelProto]:
    """Every micro engine in the TensorRT dialect, without its weights."""
    folder = tmp_path_factory.mktemp("graphs")
    precision = pack_precision(request.param, block=64)
    with ExitStack() as stack:
        folders = find_folders(micro_checkpoint())
        plan = plan_pack(folders, precision, stack, new_graph=tensorrt_dialect(precision))
        for engine in plan.engines:
            write_graph(engine.graph, folder, advance=lambda cost: None)
    return {
        name: onnx.load(folder / name / "model.onnx", load_external_data=False)
        for name in ENGINE_NAMES
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_every_node_is_one_that_the_parser_takes(
    models: dict[str, onnx.ModelProto], engine: str, version: str
) -> None:
    check_operators(models[engine], version, where=engine)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_a_graph_asks_for_the_standard_operators_of_opset_21_only(
    models: dict[str, onnx.ModelProto], engine: str
) -> None:
    assert [(o.domain, o.version) for o in models[engine].opset_import] == [("", 21)]


def a_model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3]),
        helper.make_tensor_value_info("bytes", TensorProto.UINT8, [2, 3]),
        helper.make_tensor_value_info("axes", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("at", TensorProto.INT64, [1, 1]),
        helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, 3]),
    ]
    graph = helper.make_graph(list(nodes), "g", inputs, [helper.make_empty_tensor_value_info("y")])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


REFUSED: dict[str, Callable[[], onnx.ModelProto]] = {
    "QuickGelu": lambda: a_model(
        helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft")
    ),
    "its input is uint8": lambda: a_model(
        helper.make_node("Transpose", ["bytes"], ["y"], perm=[1, 0])
    ),
    "input 1 is no constant": lambda: a_model(
        helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1)
    ),
    "reduction is set": lambda: a_model(
        helper.make_node("ScatterND", ["x", "at", "row"], ["y"], reduction="add")
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_node_that_the_parser_does_not_take_is_named_with_the_reason(reason: str) -> None:
    with pytest.raises(BuildError, match=reason):
        check_operators(REFUSED[reason](), "10.13", where="engine x")


def test_an_operator_is_refused_before_the_version_that_brought_it() -> None:
    node = helper.make_node("RMSNormalization", ["x", "row"], ["y"])
    model = a_model(node)
    model.opset_import[0].version = 23
    assert "it comes with 10.15" in operator_problems(model, "10.14")[0]
    assert operator_problems(model, "10.15") == []


@pytest.mark.parametrize(
    ("block", "symmetric", "reason"),
    [(64, False, "no zero points"), (32, True, "64 or 128 values, not 32")],
)
def test_int4_that_tensorrt_has_not_is_refused_with_the_reason(
    block: int, symmetric: bool, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        tensorrt_dialect(pack_precision("int4", block=block, symmetric=symmetric))


def test_the_audio_lm_is_float32_and_8_bits_are_the_engines_float_type() -> None:
    precision = pack_precision("int4", block=64)
    assert compute_type("aud_lm", precision) == "float32"
    assert compute_type("vlm_lm", precision) == "float16"
    kinds = {"blocks": "int4", "head": "int8"}
    assert stored_kinds("aud_lm", kinds, precision) == {"blocks": "int4", "head": "fp32"}
    assert stored_kinds("vlm_lm", kinds, precision) == {"blocks": "int4", "head": "fp16"}
