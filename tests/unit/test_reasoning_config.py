"""Reasoning's configuration: defaults are valid, and what is not is named."""

from __future__ import annotations

from typing import Any

import pytest

from omnilive.errors import ConfigError
from omnilive.reasoning.config import (
    BudgetConfig,
    InstructionConfig,
    PromptConfig,
    ReasoningConfig,
    SamplingConfig,
)


@pytest.mark.parametrize(
    "config", [BudgetConfig, InstructionConfig, PromptConfig, ReasoningConfig, SamplingConfig]
)
def test_defaults_are_valid(config: type[Any]) -> None:
    config().validate()


@pytest.mark.parametrize(
    ("config", "where"),
    [
        (BudgetConfig(max_visual_tokens=-1), "budget.max_visual_tokens"),
        (BudgetConfig(transform="hd"), "budget.transform"),
        (BudgetConfig(hd_num=0), "budget.hd_num"),
        (BudgetConfig(max_prefill_ms=float("nan")), "budget.max_prefill_ms"),
        (BudgetConfig(max_frames_per_tile=0), "budget.max_frames_per_tile"),
        (PromptConfig(question_template="Question:"), "prompt.question_template"),
        (
            PromptConfig(question_template_without_frames="{question}{question}"),
            "prompt.question_template_without_frames",
        ),
        (PromptConfig(tiles_per_step=0), "prompt.tiles_per_step"),
        (PromptConfig(tiles_per_step=5), "prompt.tiles_per_step"),
        (InstructionConfig(template="?"), "instruction.template"),
        (InstructionConfig(threshold=1.1), "instruction.threshold"),
        (InstructionConfig(max_prompt_tokens=1), "instruction.max_prompt_tokens"),
        (SamplingConfig(temperature=float("nan")), "sampling.temperature"),
        (SamplingConfig(top_k=-1), "sampling.top_k"),
        (SamplingConfig(top_p=0), "sampling.top_p"),
        (SamplingConfig(repetition_penalty=0), "sampling.repetition_penalty"),
        (SamplingConfig(seed=-1), "sampling.seed"),
        (ReasoningConfig(prefill_chunk=0), "reasoning.prefill_chunk"),
        (ReasoningConfig(max_new_tokens=-1), "reasoning.max_new_tokens"),
        (ReasoningConfig(context_tokens=-1), "reasoning.context_tokens"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_mend(config: Any, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.validate()
    assert caught.value.where == where
    assert caught.value.mend
