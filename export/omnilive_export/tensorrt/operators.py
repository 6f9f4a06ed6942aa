"""Whether a graph keeps to what the ONNX parser of a TensorRT version takes.

The facts are in `operators.json`. It never asks a parser: a graph is refused here, by name and
reason, on machines that have none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

import onnx
from onnx import TensorProto

from omnilive.errors import BuildError
from omnilive.versions import release

_TYPES = {
    TensorProto.BOOL: "bool",
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT4: "int4",
    TensorProto.INT8: "int8",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.UINT8: "uint8",
}


@dataclass(frozen=True)
class Operator:
    """What the parser takes of one operator.

    Attributes:
        since: first version that has it.
        types: of its first input.
        constant_inputs: positions that must be initializers.
        most_inputs: inputs that are taken; None for all.
        refused_attributes: that may not be set.
    """

    since: str
    types: tuple[str, ...]
    constant_inputs: tuple[int, ...] = ()
    most_inputs: int | None = None
    refused_attributes: tuple[str, ...] = ()


def read_operators() -> dict[str, Operator]:
    """The operators of `operators.json`."""
    text = resources.files(__package__).joinpath("operators.json").read_text(encoding="utf-8")
    return {
        name: Operator(
            since=facts["since"],
            types=tuple(facts["types"]),
            constant_inputs=tuple(facts.get("constant_inputs", ())),
            most_inputs=facts.get("most_inputs"),
            refused_attributes=tuple(facts.get("refused_attributes", ())),
        )
        for name, facts in json.loads(text)["operators"].items()
    }


def check_operators(model: onnx.ModelProto, version: str, *, where: str) -> None:
    """Refuse a model that the parser of ``version`` does not take.

    Args:
        model: the graph; its external weights need not be loaded.
        version: of TensorRT.
        where: what the model is, for the error.

    Raises:
        BuildError: naming the first node that is not taken, and how many more there are.
    """
    problems = operator_problems(model, version)
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise BuildError(
            f"TensorRT {version} does not take {problems[0]}{more}",
            where=where,
            mend="Use a newer TensorRT, or --backend ort.",
        )


def operator_problems(model: onnx.ModelProto, version: str) -> list[str]:
    """Every way in which ``model`` leaves what the parser of ``version`` takes."""
    operators = read_operators()
    types = _value_types(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    problems = []
    for node in model.graph.node:
        label = f"{node.op_type} {node.name!r}"
        operator = operators.get(node.op_type) if node.domain == "" else None
        if operator is None or release(version) < release(operator.since):
            since = "" if operator is None else f": it comes with {operator.since}"
            problems.append(f"{label} of domain {node.domain or 'ai.onnx'!r}{since}")
            continue
        problems.extend(
            f"{label}: {why}" for why in _node_problems(node, operator, types, constants)
        )
    return problems


def _node_problems(
    node: onnx.NodeProto, operator: Operator, types: dict[str, str], constants: set[str]
) -> list[str]:
    problems = []
    found = types.get(node.input[0], "unknown")
    if found not in operator.types:
        problems.append(f"its input is {found}")
    if operator.most_inputs is not None and len(node.input) > operator.most_inputs:
        problems.append(f"it has {len(node.input)} inputs")
    for position in operator.constant_inputs:
        if position < len(node.input) and node.input[position] not in constants:
            problems.append(f"input {position} is no constant")
    set_attributes = {attribute.name for attribute in node.attribute}
    problems.extend(
        f"{name} is set" for name in operator.refused_attributes if name in set_attributes
    )
    return problems


def _value_types(model: onnx.ModelProto) -> dict[str, str]:
    """The element type of every value, by shape inference."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types.update((tensor.name, tensor.data_type) for tensor in graph.initializer)
    return {name: _TYPES.get(kind, "another type") for name, kind in types.items()}
