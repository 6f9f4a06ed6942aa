from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export_checkpoints import checkpoint_with, micro_checkpoint, plan
from omnilive.errors import CheckpointError
from omnilive_export.reading.adapter import AdaptedStore
from omnilive_export.reading.checkpoint import find_folders
from omnilive_export.reading.row_source import read_all
from omnilive_export.reading.tensor_store import ADAPTER_NAMES, TensorStore
from omnilive_micropack.checkpoint import ADAPTER as ADAPTER_FOLDER
from omnilive_micropack.checkpoint import write_checkpoint
from omnilive_micropack.dimensions import MICRO
from torch_files import write_torch_file

RANK, OUT, IN = 4, 10, 6
WEIGHT = "layers.0.wqkv.weight"
PREFIX = "base_model.model."
CONFIG = {
    "peft_type": "LORA",
    "r": RANK,
    "lora_alpha": 8,
    "lora_dropout": 0.05,
    "bias": "none",
    "target_modules": ["wqkv"],
    "modules_to_save": ["video_mem_proj"],
}


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


BASE = {
    WEIGHT: random(OUT, IN),
    "layers.0.wqkv.Plora_A.weight": random(2, IN),
    "video_mem_proj.0.weight": random(3, IN),
}
ADAPTER = {
    f"{PREFIX}layers.0.wqkv.lora_A.weight": random(RANK, IN),
    f"{PREFIX}layers.0.wqkv.lora_B.weight": random(OUT, RANK),
    f"{PREFIX}video_mem_proj.0.weight": random(3, IN) + 1,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``base/`` and ``adapter/`` with one adapted and one replaced tensor."""
    for name in ("base", "adapter"):
        (tmp_path / name).mkdir()
    save_file(BASE, tmp_path / "base" / "model.safetensors")
    save_file(ADAPTER, tmp_path / "adapter" / "adapter_model.safetensors")
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def opened(folder: Path, stack: ExitStack) -> AdaptedStore:
    base = TensorStore(folder / "base")
    stack.callback(base.close)
    adapted = AdaptedStore(base, folder / "adapter")
    stack.callback(adapted.close)
    return adapted


def configure(folder: Path, **keys: Any) -> None:
    text = json.dumps({**CONFIG, **keys})
    (folder / "adapter" / "adapter_config.json").write_text(text)


def renamed(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    save_file(tensors, folder / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize(("rslora", "scale"), [(False, 8 / RANK), (True, 8 / np.sqrt(RANK))])
def test_adapted_weights_are_merged_exactly_and_others_stay(
    folder: Path, rslora: bool, scale: float
) -> None:
    configure(folder, use_rslora=rslora)
    a, b, saved = ADAPTER.values()
    with ExitStack() as stack:
        store = opened(folder, stack)
        merged = store.tensor(WEIGHT, (OUT, None), why="")
        expected = BASE[WEIGHT] + scale * (b.astype(np.float64) @ a)
        assert merged.shape == (OUT, IN)
        np.testing.assert_allclose(read_all(merged), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(merged.rows(3, 7), read_all(merged)[3:7])
        replaced = store.tensor("video_mem_proj.0.weight", (3, IN), why="")
        np.testing.assert_array_equal(read_all(replaced), saved)
        plora = store.tensor("layers.0.wqkv.Plora_A.weight", (2, IN), why="")
        np.testing.assert_array_equal(read_all(plora), BASE["layers.0.wqkv.Plora_A.weight"])
        assert {p.name for p in store.files} == {
            "model.safetensors",
            "adapter_model.safetensors",
            "adapter_config.json",
        }


def test_keys_that_still_carry_the_adapters_name_are_understood(folder: Path) -> None:
    a, b, saved = ADAPTER.values()
    renamed(
        folder,
        {
            f"{PREFIX}layers.0.wqkv.lora_A.default.weight": a,
            f"{PREFIX}layers.0.wqkv.lora_B.default.weight": b,
            f"{PREFIX}video_mem_proj.modules_to_save.default.0.weight": saved,
        },
    )
    with ExitStack() as stack:
        store = opened(folder, stack)
        np.testing.assert_array_equal(
            read_all(store.tensor("video_mem_proj.0.weight", (3, IN), why="")), saved
        )
        assert np.abs(read_all(store.tensor(WEIGHT, (OUT, IN), why="")) - BASE[WEIGHT]).max() > 1


def test_an_adapter_saved_as_a_bin_is_read_too(folder: Path) -> None:
    (folder / "adapter" / "adapter_model.safetensors").unlink()
    write_torch_file(folder / "adapter" / "adapter_model.bin", ADAPTER)
    with ExitStack() as stack:
        store = opened(folder, stack)
        assert np.abs(read_all(store.tensor(WEIGHT, (OUT, IN), why="")) - BASE[WEIGHT]).max() > 1


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"peft_type": "LOHA"}, "'peft_type' expected 'LORA'"),
        ({"use_dora": True}, "'use_dora' expected False"),
        ({"fan_in_fan_out": True}, "'fan_in_fan_out' expected False"),
        ({"bias": "all"}, "'bias' expected 'none'"),
        ({"rank_pattern": {"wqkv": 8}}, "'rank_pattern' expected one rank"),
        ({"r": 0}, "'r' expected a positive integer"),
        ({"r": 8}, r"lora_A.weight has shape \[4, 6\], expected \[8, 6\]"),
        ({"modules_to_save": None}, "neither LoRA nor of its modules_to_save"),
        ({"modules_to_save": ["video_mem_proj", "vit"]}, "lacks the tensors of vit"),
        ({"modules_to_save": "video_mem_proj"}, "a list of module names"),
    ],
)
def test_an_adapter_that_would_not_merge_exactly_is_refused(
    folder: Path, keys: dict[str, Any], said: str
) -> None:
    configure(folder, **keys)
    with ExitStack() as stack, pytest.raises(CheckpointError, match=said):
        opened(folder, stack).tensor(WEIGHT, (OUT, IN), why="")


def test_an_adapter_of_another_base_is_refused(folder: Path) -> None:
    a, _, saved = ADAPTER.values()
    lonely = {f"{PREFIX}layers.0.wqkv.lora_A.weight": a, f"{PREFIX}video_mem_proj.0.weight": saved}
    foreign = {**ADAPTER, f"{PREFIX}layers.9.wqkv.lora_A.weight": a}
    bare = {name.removeprefix(PREFIX): values for name, values in ADAPTER.items()}
    for tensors, said in (
        (lonely, "only one of lora_A and lora_B for tensor layers.0.wqkv.weight"),
        (foreign, "adapts tensor layers.9.wqkv.weight, which the base model does not have"),
        (bare, "expected a name that begins with base_model.model."),
    ):
        renamed(folder, tensors)
        with ExitStack() as stack, pytest.raises(CheckpointError, match=said):
            opened(folder, stack)


def written(planned: Any, engine: str, tensor: str) -> np.ndarray:
    graph = next(e.graph for e in planned.engines if e.graph.name == engine)
    chunks = next(t for t in graph.tensors if t.name == tensor).chunks()
    return np.concatenate([np.asarray(c).reshape(-1) for c in chunks])


def test_a_downloaded_folder_is_planned_with_its_adapter_merged(tmp_path: Path) -> None:
    root = checkpoint_with(tmp_path, "base/config.json", lambda values: None)
    write_checkpoint(root, MICRO, 0, folders=(ADAPTER_FOLDER,))
    folders = find_folders(root)
    assert folders.adapter == root / "adapter"
    assert folders.warnings == ()
    with ExitStack() as stack:
        adapter = TensorStore(root / "adapter", ADAPTER_NAMES)
        stack.callback(adapter.close)
        module = f"{PREFIX}model.layers.0.feed_forward.w1"
        a = adapter.tensor(f"{module}.lora_A.weight", (MICRO.adapter_rank, None), why="")
        b = adapter.tensor(f"{module}.lora_B.weight", (None, MICRO.adapter_rank), why="")
        update = read_all(b) @ read_all(a)
        plain, merged = plan(micro_checkpoint(), stack), plan(root, stack)
        assert {p.name for p in merged.sources} >= {"adapter_config.json"}
        gate = written(merged, "vlm_lm", "layers.0.gate.weight")
        change = gate - written(plain, "vlm_lm", "layers.0.gate.weight")
        np.testing.assert_allclose(change, update.T.reshape(-1), atol=1e-6)
        assert np.abs(change).max() > 1e-3
        saved = adapter.tensor(f"{PREFIX}video_mem_proj.0.weight", (None, None), why="")
        np.testing.assert_array_equal(
            written(merged, "mem_to_vlm", "video_mem_proj.0.weight"),
            read_all(saved).T.reshape(-1),
        )
        for kept in ("layers.0.gate.Plora_A", "layers.1.up.Plora_B"):
            np.testing.assert_array_equal(
                written(merged, "vlm_lm", kept), written(plain, "vlm_lm", kept)
            )


def test_an_adapter_beside_a_merged_reasoner_is_not_merged_again(tmp_path: Path) -> None:
    root = checkpoint_with(tmp_path, "base/config.json", lambda values: None)
    (root / "base").rename(root / "merge_lora")
    micro = root / "adapter"
    micro.mkdir()
    assert find_folders(root).adapter is None
    with ExitStack() as stack:
        assert plan(root, stack).reasoner is not None
