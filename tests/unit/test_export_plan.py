from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export_checkpoints import Change, checkpoint_with, micro_checkpoint, plan
from omnilive.engine.manifest import ENGINE_NAMES, TABLE_NAMES, TOKENIZER_NAMES
from omnilive.errors import CheckpointError
from omnilive_export.models.qwen2 import read_qwen2_spec
from omnilive_export.reading.checkpoint import find_folders
from omnilive_export.reading.config_file import ConfigFile


def test_a_plan_holds_every_part_a_pack_needs() -> None:
    with ExitStack() as stack:
        planned = plan(micro_checkpoint(), stack)
        assert tuple(e.graph.name for e in planned.engines) == ENGINE_NAMES
        assert tuple(t.name for t in planned.tables) == TABLE_NAMES
        assert {*planned.bpe, *planned.sentencepiece} == set(TOKENIZER_NAMES)


def test_a_plan_reads_its_dimensions_from_the_checkpoint() -> None:
    with ExitStack() as stack:
        planned = plan(micro_checkpoint(), stack)
    generation = json.loads((micro_checkpoint() / "base/generation_config.json").read_text())
    assert (planned.memory.pixels, planned.memory.grid, planned.memory.slots) == (112, 4, 4)
    assert (planned.memory.features, planned.memory.cls) == (512, 128)
    assert (planned.audio.min_samples, planned.audio.max_samples) == (321, 480_000)
    assert (planned.reasoner.pixels, planned.reasoner.grid) == (168, 6)
    assert planned.reasoner.max_new_tokens == generation["max_new_tokens"]
    assert planned.trained is False


def test_a_quantized_pack_is_smaller() -> None:
    with ExitStack() as stack:
        sizes = [plan(micro_checkpoint(), stack, p).nbytes for p in ("int4", "int8", "fp32")]
    assert sizes == sorted(sizes)
    assert sizes[2] > 2.5 * sizes[1]


def put(key: str, value: Any) -> Change:
    """Set a dotted key, or take it away with None."""

    def change(values: dict[str, Any]) -> None:
        *sections, last = key.split(".")
        for section in sections:
            values = values[section]
        values.pop(last, None)
        if value is not None:
            values[last] = value

    return change


@pytest.mark.parametrize(
    ("file", "key", "value", "said"),
    [
        ("memory/config.json", "hidden_size", None, "key 'hidden_size' is missing"),
        ("memory/config.json", "num_hidden_layers", 9, "q_proj.weight is missing"),
        ("memory/config.json", "vocab_size", 1000, "expected [1000, 256] (vocab_size"),
        ("memory/config.json", "pool_num", 3, "key 'pool_num' expected a square"),
        ("memory/config.json", "resolution", 144, "key 'resolution' expected 16, found 144"),
        ("memory/config.json", "mm_projector_type", "slot", "expected 'pool', found 'slot'"),
        ("memory/config.json", "mm_vision_select_layer", -9, "a hidden state of 4 layers"),
        ("memory/config.json", "mm_vision_select_feature", "cls_patch", "expected 'patch'"),
        ("memory/config.json", "vision_config", None, "'resolution' expected 144"),
        ("memory/config.json", "vision_config.image_size", 98, "even number of patches"),
        ("memory/config.json", "vision_config.hidden_act", "relu", "found 'relu'"),
        ("memory/config.json", "use_sliding_window", True, "'sliding_window' is missing"),
        ("memory/config.json", "rope_scaling", {"type": "yarn"}, "'rope_scaling.type' expected"),
        ("audio/config.json", "text_config.num_key_value_heads", 3, "a divisor of 4 heads"),
        ("audio/config.json", "audio_config.d_model", 256, "expected [256, 80, 3]"),
        ("audio/config.json", "audio_config.num_mel_bins", 128, "'feature_size' expected 128"),
        ("audio/preprocessor_config.json", "n_fft", 1_000_000, "an even number from 160 to 16384"),
        ("memory/preprocessor_config.json", "image_std", [0.3, 0, 0.3], "three positive numbers"),
        ("memory/config.json", "max_position_embeddings", 10**12, "expected at most 1048576"),
        ("base/config.json", "rms_norm_eps", float("nan"), "expected a positive number"),
        ("audio/preprocessor_config.json", "chunk_length", 20, "expected 30 s for 3000 frames"),
        ("base/config.json", "num_key_value_heads", 4, "attention.wqkv"),
        ("base/config.json", "bias", True, "attention.wqkv.bias is missing"),
        ("base/config.json", "num_attention_heads", 32, "heads of a multiple of 16 values"),
        ("memory/config.json", "head_dim", 40, "heads of a multiple of 16 values"),
        ("base/config.json", "hidden_act", "gelu", "expected 'silu', found 'gelu'"),
        ("base/config.json", "bos_token_id", None, "key 'bos_token_id' expected one token id"),
    ],
)
def test_a_configuration_that_misfits_the_weights_is_one_clear_error(
    tmp_path: Path, file: str, key: str, value: Any, said: str
) -> None:
    bent = checkpoint_with(tmp_path, file, put(key, value))
    with ExitStack() as stack, pytest.raises(CheckpointError) as raised:
        plan(bent, stack)
    assert said in str(raised.value)
    assert str(bent) in raised.value.where


def only(folder: Path, *models: str) -> Path:
    """A checkpoint in ``folder`` with some models of the micro checkpoint."""
    for model in models:
        shutil.copytree(micro_checkpoint() / model, folder / model)
    return folder


PARTS = {
    "memory": ("mem_vit", "mem_proj", "mem_lm"),
    "audio": ("aud_enc", "aud_lm"),
    "base": ("vlm_vit", "vlm_lm", "mem_to_vlm"),
}


@pytest.mark.parametrize("models", [("memory",), ("audio",), ("base",), ("memory", "base")])
def test_a_checkpoint_of_some_models_is_planned_as_a_partial_pack(
    tmp_path: Path, models: tuple[str, ...]
) -> None:
    folders = find_folders(only(tmp_path, *models))
    assert "so the pack is partial" in folders.warnings[0]
    with ExitStack() as stack:
        planned = plan(tmp_path, stack)
        whole = {e.graph.name: e.graph for e in plan(micro_checkpoint(), stack).engines}
    names = [e.graph.name for e in planned.engines]
    assert names == [name for model in models for name in PARTS[model]]
    specs = {"memory": planned.memory, "audio": planned.audio, "base": planned.reasoner}
    assert {model for model, spec in specs.items() if spec is not None} == set(models)
    for engine in planned.engines:
        assert engine.graph.inputs == whole[engine.graph.name].inputs


@pytest.mark.parametrize("model", ["memory", "audio", "base"])
def test_the_folder_of_one_model_of_the_family_is_known_by_its_architecture(model: str) -> None:
    with ExitStack() as stack:
        planned = plan(micro_checkpoint() / model, stack)
        assert tuple(e.graph.name for e in planned.engines) == PARTS[model]


def test_a_config_beside_the_models_folders_does_not_hide_them(tmp_path: Path) -> None:
    only(tmp_path, "memory")
    (tmp_path / "config.json").write_text('{"architectures": ["InternLMXComposer2ForCausalLM"]}')
    folders = find_folders(tmp_path)
    assert folders.memory == tmp_path / "memory" and folders.single is None


def test_a_folder_without_any_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    with pytest.raises(CheckpointError, match=r"has no config\.json, nor memory/"):
        find_folders(tmp_path)


def test_a_merged_reasoner_is_preferred_and_may_borrow_small_files(tmp_path: Path) -> None:
    bent = checkpoint_with(tmp_path, "base/config.json", lambda values: None)
    (bent / "merge_lora").mkdir()
    for name in ("config.json", "model.safetensors.index.json"):
        shutil.copy(bent / "base" / name, bent / "merge_lora")
    for shard in (bent / "base").glob("*.safetensors"):
        shutil.move(shard, bent / "merge_lora")
    assert find_folders(bent).reasoner == bent / "merge_lora"
    with ExitStack() as stack:
        planned = plan(bent, stack)
        assert planned.sentencepiece["reasoner"] == bent / "base" / "tokenizer.model"
        assert bent / "merge_lora" / "config.json" in planned.sources


def qwen2_config(**keys: Any) -> ConfigFile:
    values = {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 128,
        "num_hidden_layers": 1,
        "intermediate_size": 96,
        "vocab_size": 100,
        "rms_norm_eps": 1e-6,
    }
    return ConfigFile(Path("config.json"), {**values, **keys})


def test_a_family_member_keeps_the_rope_theta_of_its_own_config() -> None:
    with ExitStack() as stack:
        graphs = {e.graph.name: e.graph for e in plan(micro_checkpoint(), stack).engines}
        bases = {}
        for name in ("mem_lm", "aud_lm", "vlm_lm"):
            sines = next(t for t in graphs[name].tensors if t.name == "rope.sin")
            position_1 = next(iter(sines.chunks()))[1]
            # The second frequency is theta to the power of -2 / head_dim.
            bases[name] = np.arcsin(position_1[1]) ** (-len(position_1))
    assert bases == pytest.approx({"mem_lm": 1e6, "aud_lm": 1e4, "vlm_lm": 1e6}, rel=1e-4)


def test_an_absent_rope_theta_is_ten_thousand_and_a_given_one_is_used() -> None:
    assert read_qwen2_spec(qwen2_config()).rope.theta == 10_000.0
    assert read_qwen2_spec(qwen2_config(rope_theta=1e6)).rope.theta == 1e6
    newer = {"rope_type": "default", "rope_theta": 5e5}
    assert read_qwen2_spec(qwen2_config(rope_parameters=newer)).rope.theta == 5e5


def test_a_decoder_with_dynamic_ntk_is_bounded_where_its_frequencies_change(tmp_path: Path) -> None:
    bent = checkpoint_with(tmp_path, "base/config.json", put("max_position_embeddings", 640))
    with ExitStack() as stack:
        planned = plan(bent, stack)
        decoder = next(e.graph for e in planned.engines if e.graph.name == "vlm_lm")
    assert planned.reasoner.max_positions == 640
    assert decoder.kv is not None and decoder.kv.max_positions == 640
    assert decoder.profile["sequence"] == decoder.profile["capacity"] == 640


def test_a_checkpoint_that_does_not_say_it_is_noise_counts_as_trained(tmp_path: Path) -> None:
    bent = checkpoint_with(tmp_path, "base/config.json", put("omnilive_trained", None))
    for file in ("memory/config.json", "audio/config.json"):
        values = json.loads((bent / file).read_text())
        del values["omnilive_trained"]
        (bent / file).write_text(json.dumps(values))
    with ExitStack() as stack:
        assert plan(bent, stack).trained is True
