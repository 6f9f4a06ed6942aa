"""Verification notices one wrong weight, whichever engine it is in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from omnilive.engine.manifest import ENGINE_NAMES
from omnilive.engine.pack import EnginePack
from omnilive_export.verify.run import run

pytestmark = pytest.mark.tiny


def perturb_one_weight_matrix(model: Path) -> str:
    """Scale one matrix of a graph's external weights by 1.01 on disk; return its name."""
    graph = onnx.load(str(model), load_external_data=False).graph
    matrices = [
        tensor
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and tensor.data_location == onnx.TensorProto.EXTERNAL
        and len(tensor.dims) == 2
    ]
    chosen = matrices[len(matrices) // 2]
    where = {entry.key: entry.value for entry in chosen.external_data}
    data = np.memmap(
        model.parent / where["location"],
        dtype="<f4",
        mode="r+",
        offset=int(where["offset"]),
        shape=tuple(chosen.dims),
    )
    data *= np.float32(1.01)
    data.flush()
    return str(chosen.name)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_one_wrong_weight_fails_verification(
    fp32_pack: EnginePack, checkpoint: Path, tmp_path: Path, engine: str
) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(fp32_pack.path, folder)
    name = perturb_one_weight_matrix(folder / fp32_pack.manifest.engines[engine].model)
    record = run(folder, checkpoint, lambda _: None, engines=[engine])[engine]
    assert not record["passed"], f"{name} was scaled by 1.01 and passed: {record}"


def test_another_rope_theta_fails_verification(
    fp32_pack: EnginePack, checkpoint: Path, tmp_path: Path
) -> None:
    """The trap of spec §1.2: the audio model's config.json has no rope_theta, which means 10000."""
    shutil.copytree(checkpoint, tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / "audio" / "config.json"
    config = json.loads(path.read_text())
    assert "rope_theta" not in config["text_config"]

    def passes_with(theta: float) -> bool:
        config["text_config"]["rope_theta"] = theta
        path.write_text(json.dumps(config))
        records = run(fp32_pack.path, tmp_path / "checkpoint", lambda _: None, ["aud_lm"])
        return bool(records["aud_lm"]["passed"])

    assert passes_with(10_000.0)
    assert not passes_with(1_000_000.0)
