"""The miniature checkpoint is what the reference implementations load: names, shapes, tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnilive_micropack.checkpoint import main
from omnilive_micropack.dimensions import MICRO

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("checkpoint")
    assert main(["--out", str(out)]) == 0
    return out


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(shard))
    return tensors


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def _load_clip(tensors: dict[str, torch.Tensor], config: dict[str, object]) -> torch.nn.Module:
    model = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**config))
    # transformers 4 keeps the tower one level down, 5 does not
    model = getattr(model, "vision_model", model)
    model.load_state_dict(tensors, strict=True)
    return model


def test_audio_model_loads_whole(checkpoint: Path) -> None:
    model, info = transformers.Qwen2AudioForConditionalGeneration.from_pretrained(
        checkpoint / "audio", output_loading_info=True, dtype=torch.float32
    )
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    # The head is the embedding and so is not in the file; transformers 5 does not tie it by itself
    assert set(info["missing_keys"]) <= {"lm_head.weight", "language_model.lm_head.weight"}
    text = model.config.text_config
    assert text.tie_word_embeddings
    assert text.rms_norm_eps == 1e-5
    assert model.get_input_embeddings().weight.shape[0] == MICRO.audio_lm.vocab


def test_memory_model_loads_whole(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "memory" / "config.json").read_text())
    tensors = _tensors(checkpoint / "memory")
    _load_clip(
        _under(tensors, "model.vision_tower.vision_tower.vision_model."), config["vision_config"]
    )
    keys = set(transformers.Qwen2Config().to_dict()) | {"rope_theta"}
    qwen = transformers.Qwen2Config(
        **{k: v for k, v in config.items() if k in keys and k not in ("model_type", "rope_scaling")}
    )
    language = {
        k: v
        for k, v in tensors.items()
        if not k.startswith(("model.vision_tower.", "model.mm_projector."))
    }
    transformers.Qwen2ForCausalLM(qwen).load_state_dict(language, strict=True)
    assert len(_under(tensors, "model.mm_projector.mlp.")) == 4


def test_reasoner_tower_loads_whole(checkpoint: Path) -> None:
    folder = checkpoint / "base"
    config = json.loads((folder / "IXC2d5_clip_l_560" / "config.json").read_text())
    _load_clip(_under(_tensors(folder), "vit.vision_tower.vision_model."), config)


def test_activations_neither_vanish_nor_explode(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "memory" / "config.json").read_text())["vision_config"]
    tower = _load_clip(
        _under(_tensors(checkpoint / "memory"), "model.vision_tower.vision_tower.vision_model."),
        config,
    )
    pictures = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = tower(pictures, output_hidden_states=True).hidden_states
    assert all(0.3 < float(s.std()) < 5 for s in states)


@pytest.mark.parametrize("folder", ["memory", "audio"])
def test_qwen2_tokenizer_loads_and_round_trips(checkpoint: Path, folder: str) -> None:
    path = checkpoint / folder
    tokenizer = transformers.Qwen2Tokenizer.from_pretrained(path)
    added = json.loads((path / "added_tokens.json").read_text(encoding="utf-8"))
    for token, index in added.items():
        assert tokenizer.convert_tokens_to_ids(token) == index
    for text in ("Where is the red umbrella?", "现在几点了？", " 117 Zürich 🙂\n"):
        ids = tokenizer(text)["input_ids"]
        assert max(ids) < min(added.values())
        assert tokenizer.decode(ids) == text
    turn = tokenizer("<|im_start|>user\nhello<|im_end|>\n")["input_ids"]
    assert turn[0] == added["<|im_start|>"]
    assert turn[-2] == added["<|im_end|>"]
