"""The exporter's merge of ``adapter/`` against the same merge done in torch."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from omnilive_export.cli import main as build_engines
from omnilive_export.verify.measure import FP32_RELATIVE_ERROR
from omnilive_export.verify.run import run
from omnilive_micropack.checkpoint import ADAPTER, write_checkpoint
from omnilive_micropack.dimensions import MICRO

pytestmark = pytest.mark.tiny

PREFIX = "base_model.model."


def merged_in_torch(root: Path, out: Path) -> None:
    """``out`` as PEFT's merge of base and adapter would leave it, in float32."""
    shutil.copytree(root / "base", out)
    adapter = load_file(root / ADAPTER / "adapter_model.safetensors")
    adapter = {name.removeprefix(PREFIX): t.float() for name, t in adapter.items()}
    for shard in out.glob("*.safetensors"):
        with safe_open(shard, "pt") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}
        for name in tensors:
            module = name.removesuffix(".weight")
            if f"{module}.lora_A.weight" in adapter:
                a, b = (adapter[f"{module}.lora_{part}.weight"] for part in "AB")
                tensors[name] += b @ a
            elif name in adapter:
                tensors[name] = adapter[name]
        save_file(tensors, shard, metadata={"format": "pt"})


def build(checkpoint: Path, out: Path) -> Path:
    arguments = ["--checkpoint", str(checkpoint), "--out", str(out), "--precision", "fp32"]
    assert build_engines(arguments) == 0
    return out


def test_a_reasoner_merged_while_streaming_equals_one_merged_in_torch(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    root, merged = tmp_path / "downloaded", tmp_path / "merged"
    write_checkpoint(root, MICRO, 0, folders=("base", ADAPTER))
    pack = build(root, tmp_path / "pack")
    merged_in_torch(root, merged / "merge_lora")
    records = run(pack, merged, lambda name: None)
    assert set(records) == {"vlm_vit", "vlm_lm", "mem_to_vlm"}
    for name, record in records.items():
        assert record["relative_error"] <= FP32_RELATIVE_ERROR, (name, record)
    # The adapter matters: without it the pack is another model.
    (root / ADAPTER).rename(tmp_path / "unused")
    plain = build(root, tmp_path / "plain")
    for name, record in run(plain, merged, lambda name: None, ("vlm_lm", "mem_to_vlm")).items():
        assert record["relative_error"] > 100 * FP32_RELATIVE_ERROR, name
