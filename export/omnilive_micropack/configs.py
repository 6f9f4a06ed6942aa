"""The JSON files of a checkpoint, with the keys the real family's files have (spec §1).

Data only. The exporter reads every size from these files and asserts it against tensor shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omnilive_micropack.dimensions import FamilyDims, LmDims, VisionDims

TRAINED_KEY = "omnilive_trained"
"""Own key of config.json: false while the weights are seeded noise. A checkpoint without it, such
as the real one, counts as trained."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
SAMPLE_RATE_HZ = 16_000
WHISPER_N_FFT = 400
WHISPER_HOP = 160
AUDIO_FRAMES_PER_POSITION = 2
"""Mel frames per position of the encoder: its second convolution has stride 2."""


@dataclass(frozen=True)
class SpecialIds:
    """Ids that config files mention and only the trained tokenizers know.

    ``memory_*`` and ``audio_*`` are of the Qwen2 tokenizers of those folders (spec §1.5).
    """

    memory_end_of_text: int
    audio_end_of_text: int
    audio_turn_end: int
    audio_placeholder: int


def clip_vision(dims: VisionDims) -> dict[str, Any]:
    """A CLIP vision tower's configuration, as ``CLIPVisionConfig`` stores it."""
    return {
        "architectures": ["CLIPVisionModel"],
        "attention_dropout": 0.0,
        "hidden_act": "quick_gelu",
        "hidden_size": dims.width,
        "image_size": dims.pixels,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": dims.mlp,
        "layer_norm_eps": 1e-05,
        "model_type": "clip_vision_model",
        "num_attention_heads": dims.heads,
        "num_channels": 3,
        "num_hidden_layers": dims.layers,
        "patch_size": dims.patch,
        "torch_dtype": "bfloat16",
    }


def image_processor(dims: VisionDims) -> dict[str, Any]:
    """Preprocessing of a tower: squash is the runtime's, mean and standard deviation are CLIP's."""
    return {
        "crop_size": {"height": dims.pixels, "width": dims.pixels},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(CLIP_MEAN),
        "image_processor_type": "CLIPImageProcessor",
        "image_std": list(CLIP_STD),
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": dims.pixels},
    }


def _decoder(dims: LmDims) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "hidden_act": "silu",
        "hidden_size": dims.width,
        "initializer_range": 0.02,
        "intermediate_size": dims.mlp,
        "max_position_embeddings": dims.positions,
        "num_attention_heads": dims.heads,
        "num_hidden_layers": dims.layers,
        "num_key_value_heads": dims.kv_heads,
        "rms_norm_eps": dims.eps,
        "use_cache": True,
        "vocab_size": dims.vocab,
    }
    if dims.rope_theta is not None:
        fields["rope_theta"] = dims.rope_theta
    return fields


def memory_config(dims: FamilyDims, ids: SpecialIds, trained: bool) -> dict[str, Any]:
    """``memory/config.json`` (spec §1.7).

    LLaVA checkpoints name their tower in ``mm_vision_tower`` and keep its sizes elsewhere; the
    ``vision_config`` block holds them here, so that the folder is complete on its own.
    """
    return {
        **_decoder(dims.memory_lm),
        "architectures": ["GroundQwenForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": ids.memory_end_of_text,
        "eos_token_id": ids.memory_end_of_text,
        "mm_hidden_size": dims.memory_tower.width,
        "mm_projector_type": "pool",
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": dims.select_layer,
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
        "model_type": "ground_qwen",
        TRAINED_KEY: trained,
        "pool_num": dims.slots,
        "resolution": dims.memory_tower.mixed_tokens,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_mm_proj": True,
        "use_sliding_window": False,
        "vision_config": clip_vision(dims.memory_tower),
    }


def audio_config(dims: FamilyDims, ids: SpecialIds, trained: bool) -> dict[str, Any]:
    """``audio/config.json`` (spec §1.2); ``rope_theta`` is absent, as in the real file."""
    encoder = dims.audio_encoder
    return {
        "architectures": ["Qwen2AudioForConditionalGeneration"],
        "audio_config": {
            "activation_function": "gelu",
            "d_model": encoder.width,
            "encoder_attention_heads": encoder.heads,
            "encoder_ffn_dim": encoder.mlp,
            "encoder_layers": encoder.layers,
            "max_source_positions": encoder.source_positions,
            "model_type": "qwen2_audio_encoder",
            "num_mel_bins": encoder.mel_bins,
        },
        "audio_token_index": ids.audio_placeholder,
        "ignore_index": -100,
        "model_type": "qwen2_audio",
        TRAINED_KEY: trained,
        "text_config": {
            **_decoder(dims.audio_lm),
            "bos_token_id": ids.audio_end_of_text,
            "eos_token_id": ids.audio_turn_end,
            "model_type": "qwen2",
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
        },
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": dims.audio_lm.vocab,
    }


def audio_generation_config(ids: SpecialIds) -> dict[str, Any]:
    """``audio/generation_config.json``."""
    return {
        "bos_token_id": ids.audio_end_of_text,
        "eos_token_id": [ids.audio_turn_end, ids.audio_end_of_text],
        "pad_token_id": ids.audio_end_of_text,
    }


def audio_preprocessor(dims: FamilyDims) -> dict[str, Any]:
    """``audio/preprocessor_config.json``: Whisper's feature extractor (spec §1.2)."""
    frames = dims.audio_encoder.source_positions * AUDIO_FRAMES_PER_POSITION
    samples = frames * WHISPER_HOP
    return {
        "chunk_length": samples // SAMPLE_RATE_HZ,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": dims.audio_encoder.mel_bins,
        "hop_length": WHISPER_HOP,
        "n_fft": WHISPER_N_FFT,
        "n_samples": samples,
        "nb_max_frames": frames,
        "padding_side": "right",
        "padding_value": 0.0,
        "processor_class": "Qwen2AudioProcessor",
        "return_attention_mask": True,
        "sampling_rate": SAMPLE_RATE_HZ,
    }


def reasoner_config(dims: FamilyDims, trained: bool) -> dict[str, Any]:
    """``base/config.json`` (spec §1.3)."""
    return {
        **_decoder(dims.reasoner_lm),
        "architectures": ["InternLMXComposer2ForCausalLM"],
        "attn_implementation": "flash_attention_2",
        "bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "max_length": dims.reasoner_lm.positions,
        "model_type": "internlm2",
        TRAINED_KEY: trained,
        "pad_token_id": 2,
        "rope_scaling": {"type": "dynamic", "factor": dims.rope_factor},
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }


def reasoner_generation_config(dims: FamilyDims) -> dict[str, Any]:
    """``base/generation_config.json``; the end of a turn is a tokenizer piece, not named here."""
    return {
        "bos_token_id": 1,
        "eos_token_id": 2,
        "max_length": dims.reasoner_lm.positions,
        "max_new_tokens": dims.max_new_tokens,
        "pad_token_id": 2,
    }


def adapter_config(dims: FamilyDims) -> dict[str, Any]:
    """``adapter/adapter_config.json``, as PEFT writes it (spec §1.3)."""
    return {
        "auto_mapping": None,
        "base_model_name_or_path": "base",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "lora_alpha": dims.adapter_rank,
        "lora_dropout": 0.05,
        "modules_to_save": ["video_mem_proj"],
        "peft_type": "LORA",
        "r": dims.adapter_rank,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": ["wqkv", "wo", "w1", "w2", "w3"],
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }
