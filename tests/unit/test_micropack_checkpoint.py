"""The miniature checkpoint: layout, reproducibility and tokenizers, without torch."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open

from omnilive_micropack import text_tokenizers, weights
from omnilive_micropack.checkpoint import main
from omnilive_micropack.corpus import corpus
from omnilive_micropack.dimensions import MICRO
from omnilive_micropack.filler_pieces import with_filler
from omnilive_micropack.layout import TensorSpec


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("checkpoint")
    assert main(["--out", str(out), "--seed", "0"]) == 0
    return out


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*"))
        if f.is_file()
    }


def _config(folder: Path) -> dict[str, object]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_only_other_weights(
    checkpoint: Path, tmp_path: Path
) -> None:
    first = _digests(checkpoint)
    main(["--out", str(tmp_path / "again"), "--seed", "0"])
    main(["--out", str(tmp_path / "other"), "--seed", "1"])
    other = _digests(tmp_path / "other")
    assert _digests(tmp_path / "again") == first
    assert first.keys() == other.keys()
    changed = {name for name in first if first[name] != other[name]}
    assert changed == {name for name in first if name.endswith(".safetensors")}


def test_every_file_of_the_family_is_there(checkpoint: Path) -> None:
    assert set(_digests(checkpoint)) >= {
        "base/config.json",
        "base/generation_config.json",
        "base/tokenizer.model",
        "base/model.safetensors.index.json",
        "base/IXC2d5_clip_l_560/config.json",
        "memory/config.json",
        "memory/model.safetensors",
        "memory/vocab.json",
        "memory/merges.txt",
        "audio/config.json",
        "audio/generation_config.json",
        "audio/model.safetensors",
        "audio/preprocessor_config.json",
        "audio/tokenizer_config.json",
        "audio/added_tokens.json",
    }


def test_a_full_disk_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    assert main(["--out", str(blocker)]) == 8
    assert "--out" in capsys.readouterr().err


def test_a_failed_write_keeps_the_old_checkpoint_and_leaves_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "checkpoint"
    main(["--out", str(out)])
    before = _digests(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "write_weights", full)
    assert main(["--out", str(out), "--seed", "1"]) == 8
    assert _digests(tmp_path) == before


def test_reasoner_tensors_have_the_fused_layout_of_the_family(checkpoint: Path) -> None:
    folder = checkpoint / "base"
    weight_map = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    shapes = {}
    for shard in sorted(set(weight_map.values())):
        with safe_open(folder / shard, "np") as file:
            for name in file.keys():
                assert weight_map[name] == shard
                shapes[name] = tuple(file.get_slice(name).get_shape())
    assert shapes.keys() == weight_map.keys()
    lm = MICRO.reasoner_lm
    groups = lm.heads // lm.kv_heads + 2
    assert shapes["model.layers.3.attention.wqkv.weight"] == (
        lm.kv_heads * groups * lm.head_dim,
        lm.width,
    )
    assert shapes["model.layers.0.feed_forward.w2.Plora_A.weight"] == (MICRO.plora_rank, lm.mlp)
    assert shapes["model.layers.0.feed_forward.w2.Plora_B.weight"] == (lm.width, MICRO.plora_rank)
    mixed = MICRO.reasoner_tower.mixed_width
    assert shapes["plora_glb_GN"] == (1, 1, mixed)
    assert shapes["plora_sub_GN"] == (1, 1, 1, mixed)
    assert shapes["vision_proj.0.weight"] == (lm.width, 4 * MICRO.reasoner_tower.width)
    assert shapes["video_mem_proj.0.weight"] == (lm.width, MICRO.memory_lm.width)
    assert shapes["output.weight"] == shapes["model.tok_embeddings.weight"]
    assert "vit.vision_tower.vision_model.pre_layrnorm.weight" in shapes


def test_rope_theta_is_absent_for_audio_alone(checkpoint: Path) -> None:
    audio, base = _config(checkpoint / "audio"), _config(checkpoint / "base")
    assert "rope_theta" not in audio["text_config"]  # type: ignore[operator]
    assert "rope_theta" not in audio
    assert _config(checkpoint / "memory")["rope_theta"] == 1e6
    assert base["rope_theta"] == 1e6
    assert base["rope_scaling"] == {"type": "dynamic", "factor": 2.0}


@pytest.mark.parametrize("folder", ["base", "memory", "audio"])
def test_seeded_weights_are_declared_untrained(checkpoint: Path, folder: str) -> None:
    assert _config(checkpoint / folder)["omnilive_trained"] is False


def test_the_reasoner_tokenizer_has_the_familys_pieces_and_round_trips(checkpoint: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    model = sentencepiece.SentencePieceProcessor(
        model_file=str(checkpoint / "base" / "tokenizer.model")
    )
    last = MICRO.reasoner_lm.vocab - 1
    assert [model.id_to_piece(i) for i in (0, 1, 2)] == ["<unk>", "<s>", "</s>"]
    assert model.id_to_piece(last - 1) == "[UNUSED_TOKEN_145]"
    assert model.id_to_piece(last) == "[UNUSED_TOKEN_146]"
    for piece in ("Yes", "▁Yes", "No", "▁No"):
        assert model.encode(piece.replace("▁", " ")) == [model.piece_to_id(piece)]
    turn = model.encode("[UNUSED_TOKEN_146]user\nwhat is this[UNUSED_TOKEN_145]\n")
    assert turn[0] == last
    assert turn[-2] == last - 1
    for line in [*corpus(), "  two  spaces ", "Zürich 🙂\n\n", "ключ 鍵"]:
        assert model.decode(model.encode(line)) == line


@pytest.mark.parametrize("folder", ["memory", "audio"])
def test_added_tokens_follow_the_merges_and_the_table_covers_them(
    checkpoint: Path, folder: str
) -> None:
    path = checkpoint / folder
    vocab = json.loads((path / "vocab.json").read_text(encoding="utf-8"))
    added = json.loads((path / "added_tokens.json").read_text(encoding="utf-8"))
    dims = MICRO.memory_lm if folder == "memory" else MICRO.audio_lm
    assert sorted(vocab.values()) == list(range(len(vocab)))
    assert sorted(added.values()) == list(range(len(vocab), len(vocab) + len(added)))
    assert len(vocab) + len(added) <= dims.vocab
    assert {"<|endoftext|>", "<|im_start|>", "<|im_end|>"} <= added.keys()
    if folder == "audio":
        assert _config(path)["audio_token_index"] == added["<|AUDIO|>"]
        assert {"<|audio_bos|>", "<|audio_eos|>", "<|en|>", "<|zh|>"} <= added.keys()


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(max_dims=2),
        elements=st.floats(-(2.0**126), 2.0**126, width=32, allow_subnormal=False),
    )
)
def test_bfloat16_is_the_nearest_one(values: np.ndarray) -> None:
    kept = (weights.bf16_bits(values).astype(np.uint32) << 16).view(np.float32)
    assert np.all(np.abs(kept - values) <= np.abs(values) * 2.0**-8)


@pytest.mark.parametrize("shape", [(7,), (300, 11), (40, 513)])
def test_pooled_values_have_the_mean_and_spread_asked_for(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As large a pool as stays a small part of the largest tensor.
    monkeypatch.setattr(weights, "POOL_ELEMENTS", 4001)
    draw = weights.pooled(3)
    spec = TensorSpec("w", shape, 0.5, mean=2.0)
    bits = np.concatenate(list(draw(spec, 3)))
    assert bits.shape == (spec.elements,)
    values = (bits.astype(np.uint32) << 16).view(np.float32).reshape(shape)
    assert abs(float(values.mean()) - 2.0) < 2 / np.sqrt(min(values.size, 4001))
    assert 0.2 < float(values.std()) < 0.8
    if values.ndim > 1:
        assert np.linalg.matrix_rank(values) == min(shape)
    again = np.concatenate(list(weights.pooled(3)(spec, 3)))
    other = np.concatenate(list(draw(TensorSpec("v", shape, 0.5, mean=2.0), 3)))
    assert np.array_equal(again, bits)
    assert not np.array_equal(other, bits)


def test_one_model_can_be_written_alone_and_leaves_the_others(tmp_path: Path) -> None:
    out = tmp_path / "checkpoint"
    assert main(["--out", str(out), "--only", "memory", "--adapter"]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["adapter", "memory"]
    before = _digests(out)
    assert main(["--out", str(out), "--only", "audio", "--seed", "1"]) == 0
    after = _digests(out)
    assert before.items() <= after.items()
    assert {name.partition("/")[0] for name in after} == {"adapter", "memory", "audio"}


def test_the_adapter_has_the_names_peft_saves(tmp_path: Path) -> None:
    main(["--out", str(tmp_path), "--only", "audio", "--adapter"])
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    with safe_open(tmp_path / "adapter" / "adapter_model.safetensors", "np") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    layer, lm = "base_model.model.model.layers.0.feed_forward", MICRO.reasoner_lm
    assert shapes[f"{layer}.w2.lora_A.weight"] == (config["r"], lm.mlp)
    assert shapes[f"{layer}.w2.lora_B.weight"] == (lm.width, config["r"])
    assert "base_model.model.video_mem_proj.2.bias" in shapes
    assert len(shapes) == 2 * 5 * lm.layers + 4


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = type("Usage", (), {"free": 20_000_000_000})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert main(["--out", str(tmp_path / "full"), "--full-size"]) == 8
    assert "20.0 GB free, 26.0 GB are needed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_filler_pieces_keep_the_turn_at_the_end_and_change_no_encoding() -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    trained = text_tokenizers.train_sentencepiece(corpus(), 1024, 8)
    filled = with_filler(trained, 2000, 8)
    small, large = (
        sentencepiece.SentencePieceProcessor(model_proto=proto) for proto in (trained, filled)
    )
    assert large.get_piece_size() == 2000
    assert large.piece_to_id("[UNUSED_TOKEN_145]") == 1998
    for line in corpus()[:20]:
        assert large.encode(line) == small.encode(line)
    assert with_filler(trained, 1024, 8) == trained


@given(st.integers(1, 40), st.integers(1, 5))
def test_shards_keep_every_tensor_in_order(count: int, shards: int) -> None:
    specs = [TensorSpec(str(i), (i % 7 + 1, 3), 1.0) for i in range(count)]
    parts = weights.split_shards(specs, shards)
    assert [s for part in parts for s in part] == specs
    assert 1 <= len(parts) <= shards


def test_values_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = TensorSpec("w", (37, 11), 0.5, mean=1.0)
    whole = np.concatenate(list(weights.blocks(spec, 3)))
    monkeypatch.setattr(weights, "BLOCK_ELEMENTS", 50)
    assert np.array_equal(np.concatenate(list(weights.blocks(spec, 3))), whole)
    assert abs(float(whole.mean()) - 1.0) < 0.1
