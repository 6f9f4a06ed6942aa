"""The references themselves: equal to transformers' classes where the architectures coincide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from omnilive_export.verify.reference import load_references

pytestmark = pytest.mark.tiny

CONFIG: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 192,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
    "max_position_embeddings": 64,
}
RANK = 8

internlm2 = load_references().internlm2_plora


def random_reasoner(seed: int) -> Any:
    torch.manual_seed(seed)
    model = internlm2.InternLm2(CONFIG, RANK)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return internlm2.Reasoner(model.eval().requires_grad_(False))


def llama_of(model: Any) -> LlamaForCausalLM:
    """Transformers' Llama with the fused, grouped wqkv split into its projections."""
    llama = LlamaForCausalLM(
        LlamaConfig(**CONFIG, tie_word_embeddings=False, attn_implementation="eager")
    )
    heads, kv_heads, width = 4, 2, CONFIG["hidden_size"] // 4
    state = {
        "model.embed_tokens.weight": model.tok_embeddings.weight,
        "model.norm.weight": model.norm.weight,
        "lm_head.weight": model.output.weight,
    }
    for index, layer in enumerate(model.layers):
        grouped = layer.attention.wqkv.weight.view(kv_heads, heads // kv_heads + 2, width, -1)
        query, key, value = grouped.split([heads // kv_heads, 1, 1], dim=1)
        prefix = f"model.layers.{index}"
        state |= {
            f"{prefix}.self_attn.q_proj.weight": query.reshape(heads * width, -1),
            f"{prefix}.self_attn.k_proj.weight": key.reshape(kv_heads * width, -1),
            f"{prefix}.self_attn.v_proj.weight": value.reshape(kv_heads * width, -1),
            f"{prefix}.self_attn.o_proj.weight": layer.attention.wo.weight,
            f"{prefix}.mlp.gate_proj.weight": layer.feed_forward.w1.weight,
            f"{prefix}.mlp.up_proj.weight": layer.feed_forward.w3.weight,
            f"{prefix}.mlp.down_proj.weight": layer.feed_forward.w2.weight,
            f"{prefix}.input_layernorm.weight": layer.attention_norm.weight,
            f"{prefix}.post_attention_layernorm.weight": layer.ffn_norm.weight,
        }
    llama.load_state_dict(state, strict=True)
    return llama.eval()


def test_internlm2_without_partial_lora_is_llama_with_split_weights() -> None:
    reasoner = random_reasoner(0)
    ids = [0, 95, 3, 3, 17, 64, 2, 80, 1]
    with torch.no_grad():
        expected = llama_of(reasoner.model)(torch.tensor([ids])).logits[0].numpy()
    actual = reasoner.logits(reasoner.embed(ids))
    assert np.abs(actual - expected).max() < 1e-5 * np.sqrt(np.mean(expected**2))


def test_partial_lora_on_every_row_is_the_merged_weight() -> None:
    reasoner, merged = random_reasoner(1), random_reasoner(1)
    for module in merged.model.modules():
        if isinstance(module, internlm2.PartialLoraLinear):
            module.weight += module.Plora_B.weight @ module.Plora_A.weight
    embeds = reasoner.embed([5, 6, 7, 8, 9, 10])
    actual = reasoner.logits(embeds, range(6))
    expected = merged.logits(embeds)
    assert np.abs(actual - expected).max() < 1e-4 * np.sqrt(np.mean(expected**2))
    assert np.abs(actual - reasoner.logits(embeds)).max() > 0.1


def test_partial_lora_on_a_row_changes_nothing_before_it() -> None:
    reasoner = random_reasoner(2)
    embeds = reasoner.embed(list(range(10)))
    plain, partial = reasoner.logits(embeds), reasoner.logits(embeds, [4, 7])
    assert np.array_equal(plain[:4], partial[:4])
    assert (np.abs(plain[4:] - partial[4:]).max(axis=1) > 1e-3).all()


def test_positions_where_dynamic_ntk_would_begin_are_refused() -> None:
    reasoner = random_reasoner(3)
    with pytest.raises(ValueError, match="dynamic NTK begins at 64"):
        reasoner.logits(reasoner.embed([0] * 65))


def test_image_tokens_are_global_view_separator_then_stitched_rows() -> None:
    grid, rows, columns, width = 2, 1, 2, 3
    embeds = np.arange(3 * grid**2 * width, dtype=np.float32).reshape(3, grid**2, width)
    separators = internlm2.Separators(
        sub=np.full(width, -1, np.float32), glb=np.full(width, -2, np.float32)
    )
    tokens = internlm2.assemble_image(embeds, rows, columns, separators)
    assert len(tokens) == (rows * columns + 1) * grid**2 + 1 + (rows + 1) * grid
    order = [int(t[0]) // width if t[0] >= 0 else int(t[0]) for t in tokens]
    assert order == [0, 1, -1, 2, 3, -1, -2, 4, 5, 8, 9, -1, 6, 7, 10, 11, -1]
