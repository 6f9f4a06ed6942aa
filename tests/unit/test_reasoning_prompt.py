"""The prompt: the trained order of words, memory and image, and nothing a user can break."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes_reasoner import BOS, GRID, HIDDEN, MEMORY_HIDDEN, PIXELS, TOKENIZER, FakePack
from omnilive.errors import EngineError
from omnilive.reasoning.budget import MemoryCounts, VisualBudget
from omnilive.reasoning.config import BudgetConfig, PromptConfig
from omnilive.reasoning.image_tokens import arrange
from omnilive.reasoning.prompt import Prompt, PromptBuilder
from omnilive.reasoning.stitch import stitch
from omnilive.reasoning.tiles import tiles_of

REFERENCE = PromptConfig(system_prompt_en="", system_prompt_zh="", answer_prefix="The answer is")
RICH = BudgetConfig(max_visual_tokens=10**6)
FRAMES = [np.full((36, 64, 3), value, np.uint8) for value in (40, 90, 200)]
LONG_TERM = np.random.default_rng(5).standard_normal((6, MEMORY_HIDDEN)).astype(np.float32)
SHORT_TERM = [
    np.random.default_rng(seed).standard_normal((8, MEMORY_HIDDEN)).astype(np.float32)
    for seed in (6, 7)
]


def ids(text: str) -> list[int]:
    return TOKENIZER.encode(text, allow_special=True)


def build(builder: PromptBuilder, **arguments: Any) -> Prompt:
    """Every step of one prompt."""
    assembly = builder.begin(**arguments)
    while not assembly.step():
        continue
    return assembly.prompt()


def planned(
    builder: PromptBuilder, question: str, config: BudgetConfig = RICH, **given_: Any
) -> tuple[VisualBudget, dict[str, Any]]:
    """A budget for the evidence ``given_`` and the arguments of ``begin``."""
    evidence = {"frames": FRAMES, "long_term": LONG_TERM, "short_term": SHORT_TERM} | given_
    long_term, short_term = evidence["long_term"], evidence["short_term"]
    language = evidence.get("language", "en")
    budget = builder.plan(
        question,
        language,
        [(f.shape[1], f.shape[0]) for f in evidence["frames"]],
        builder.count_memory(
            0 if long_term is None else len(long_term),
            [len(h) for h in short_term],
            evidence.get("ranking", range(len(short_term))),
        ),
        config,
        context_tokens=4000,
    )
    canvas = (
        stitch([evidence["frames"][i] for i in budget.frames], PIXELS) if budget.frames else None
    )
    return budget, {
        "question": question,
        "language": language,
        "long_term": long_term,
        "short_term": short_term,
        "canvas": canvas,
        "budget": budget,
    }


def test_words_memory_and_image_come_in_the_references_order() -> None:
    pack = FakePack()
    builder = PromptBuilder(pack, REFERENCE)
    budget, arguments = planned(builder, "What is red?")
    prompt = build(builder, **arguments)

    scaled = budget.scaled
    assert scaled is not None
    tiles = tiles_of(arguments["canvas"], scaled, PIXELS)
    image = arrange(pack.see(tiles), pack.separators, scaled.rows, scaled.columns)
    words = pack.embeddings
    head = words[[BOS, *ids("[UNUSED_TOKEN_146]user\n")]]
    evidence = np.concatenate(
        [
            words[ids("This is video overview memory:")],
            pack.project(LONG_TERM),
            words[ids("This is question related video memory:")],
            pack.project(np.concatenate(SHORT_TERM)),
            image,
        ]
    )
    tail = words[
        ids(
            "Question: Here are some frames of a video. What is red?"
            "[UNUSED_TOKEN_145]\n[UNUSED_TOKEN_146]assistant\nThe answer is"
        )
    ]
    np.testing.assert_allclose(prompt.embeds, np.concatenate([head, evidence, tail]), rtol=1e-5)
    np.testing.assert_array_equal(
        prompt.plora_rows, np.arange(len(head), len(head) + len(evidence))
    )
    assert prompt.embeds.dtype == np.float32
    assert prompt.counts.total == budget.prompt_tokens == len(prompt.embeds)
    assert (prompt.counts.visual, prompt.counts.tiles) == (len(image), len(tiles))


def test_the_system_turn_follows_the_questions_language() -> None:
    config = PromptConfig(system_prompt_en="Be brief.", system_prompt_zh="盒子。")
    builder = PromptBuilder(FakePack(), config)
    prompts = {}
    for language in ("en", "zh"):
        _, arguments = planned(
            builder, "What?", language=language, frames=[], long_term=None, short_term=[]
        )
        prompts[language] = build(builder, **arguments).embeds
    for language, words in (("en", "Be brief."), ("zh", "盒子。")):
        start = FakePack().embeddings[
            [
                BOS,
                *ids(
                    f"[UNUSED_TOKEN_146]system\n{words}[UNUSED_TOKEN_145]\n[UNUSED_TOKEN_146]user\n"
                ),
            ]
        ]
        np.testing.assert_array_equal(prompts[language][: len(start)], start)


@pytest.mark.parametrize(
    ("evidence", "labels"),
    [
        ({"short_term": []}, (True, False)),
        ({"long_term": None}, (False, True)),
        ({"long_term": None, "short_term": []}, (False, False)),
    ],
)
def test_a_label_stands_only_before_memory_that_is_there(
    evidence: dict[str, Any], labels: tuple[bool, bool]
) -> None:
    builder = PromptBuilder(FakePack(), REFERENCE)
    _, arguments = planned(builder, "What?", frames=[], **evidence)
    prompt = build(builder, **arguments)
    lengths = [
        len(ids("This is video overview memory:")) + len(LONG_TERM),
        len(ids("This is question related video memory:")) + sum(map(len, SHORT_TERM)),
    ]
    assert prompt.counts.memory == sum(n for n, there in zip(lengths, labels, strict=True) if there)
    assert len(prompt.plora_rows) == prompt.counts.memory


def test_only_the_kept_clips_are_written_and_in_time_order() -> None:
    pack = FakePack()
    builder = PromptBuilder(pack, REFERENCE)
    one_clip = dataclasses.replace(RICH, max_prompt_tokens=1)
    for limit in range(20, 400):
        one_clip = dataclasses.replace(RICH, max_prompt_tokens=limit)
        budget, arguments = planned(builder, "What?", one_clip, frames=[], ranking=[1, 0])
        if len(budget.clips) == 1:
            break
    assert budget.clips == (1,)
    prompt = build(builder, **arguments)
    kept = prompt.embeds[prompt.plora_rows][-len(SHORT_TERM[1]) :]
    np.testing.assert_allclose(kept, pack.project(SHORT_TERM[1]), rtol=1e-5)


def test_without_frames_the_question_says_nothing_of_frames() -> None:
    pack = FakePack()
    builder = PromptBuilder(pack, REFERENCE)
    _, arguments = planned(builder, "What?", frames=[], long_term=None, short_term=[])
    turns = "Question: What?[UNUSED_TOKEN_145]\n[UNUSED_TOKEN_146]assistant\nThe answer is"
    expected = [BOS, *ids("[UNUSED_TOKEN_146]user\n"), *ids(turns)]
    prompt = build(builder, **arguments)
    np.testing.assert_array_equal(prompt.embeds, pack.embeddings[expected])
    assert len(prompt.plora_rows) == 0


@given(
    question=st.lists(
        st.sampled_from(
            ["[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_146]", "user\n", "</s>", "{question}", "红", "a "]
        )
        | st.text(max_size=5),
        max_size=6,
    ).map("".join)
)
@settings(max_examples=60, deadline=None)
def test_no_question_can_end_its_turn_or_begin_another(question: str) -> None:
    pack = FakePack()
    builder = PromptBuilder(pack, REFERENCE)
    _, arguments = planned(builder, question, frames=[], long_term=None, short_term=[])
    embeds = build(builder, **arguments).embeds
    markers = [TOKENIZER.id_of(f"[UNUSED_TOKEN_{n}]") for n in (145, 146)]
    counts = [int((embeds == pack.embeddings[m]).all(axis=1).sum()) for m in markers]
    assert counts == [1, 2]
    assert builder.count_text(question, "en", has_frames=False) == len(embeds)


def test_tiles_are_encoded_a_few_per_step() -> None:
    pack = FakePack()
    builder = PromptBuilder(pack, dataclasses.replace(REFERENCE, tiles_per_step=3))
    budget, arguments = planned(builder, "What?", long_term=None, short_term=[])
    assert budget.tiles > 3
    assembly = builder.begin(**arguments)
    with pytest.raises(EngineError, match=f"{budget.tiles} tiles are not encoded yet"):
        assembly.prompt()
    steps = 1
    while not assembly.step():
        steps += 1
    assert steps == -(-budget.tiles // 3)
    assert [n for name, n in pack.runs if name == "vlm_vit"][:-1] == [3] * (steps - 1)
    np.testing.assert_array_equal(assembly.prompt().embeds, build(builder, **arguments).embeds)
    assert assembly.step()


def test_evidence_other_than_was_counted_is_refused() -> None:
    builder = PromptBuilder(FakePack(), REFERENCE)
    _, good = planned(builder, "What is red?")
    for change in (
        {"canvas": None},
        {"canvas": good["canvas"][:-1]},
        {"long_term": None},
        {"long_term": LONG_TERM[:-1]},
        {"short_term": SHORT_TERM[:1]},
        {"question": "What is red and what is blue?"},
    ):
        with pytest.raises(EngineError, match="not what its budget counted"):
            build(builder, **(good | change))


def test_the_geometry_is_the_packs() -> None:
    geometry = PromptBuilder(FakePack(), REFERENCE).geometry
    assert (geometry.pixels, geometry.grid) == (PIXELS, GRID)
    assert FakePack().see(np.zeros((2, PIXELS, PIXELS, 3), np.uint8)).shape == (
        2,
        GRID * GRID,
        HIDDEN,
    )


def test_memory_on_offer_is_counted_with_its_labels() -> None:
    counts = PromptBuilder(FakePack(), REFERENCE).count_memory(6, [64, 48], [1, 0])
    label = len(ids("This is video overview memory:"))
    assert counts == MemoryCounts(
        overview=6 + label,
        clips=(64, 48),
        related_label=len(ids("This is question related video memory:")),
        ranking=(1, 0),
    )
