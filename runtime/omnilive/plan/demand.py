"""What each lane asks of its engines: KV arenas and the rows of its largest run.

Arithmetic on the manifest and the configuration, the same as the stages do when they start
(each rule names the stage it follows). It never opens a tokenizer: words are counted by their
bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from omnilive.config import RuntimeConfig
from omnilive.engine.manifest import Manifest
from omnilive.engine.placement import LANE_OF_ENGINE
from omnilive.memory.prefill import ARENA_BLOCK_TOKENS
from omnilive.perception.audio_model import (
    AFTER_AUDIO,
    BEFORE_AUDIO,
    CLASSIFY,
    TRANSCRIBE,
    audio_tokens,
)

BYTES_PER_TOKEN = 3
"""UTF-8 bytes taken for one token: English text has about four, a small vocabulary fewer."""


@dataclass(frozen=True)
class EngineDemand:
    """How one lane uses one engine.

    Attributes:
        engine: its name.
        rows: rows of the residual stream in the largest run.
        arenas: capacities in tokens of the KV arenas, of decoders only.
        fed_values, given_values: 4-byte values handed over and returned by that run.
        units: how many of what the first input's open axis counts (pictures, samples, tokens)
            that run is given; of an engine without arenas.
        apart: whether each unit's rows attend to each other alone, as those of pictures do.
    """

    engine: str
    rows: int
    arenas: tuple[int, ...]
    fed_values: int
    given_values: int
    units: int = 1
    apart: bool = False

    @property
    def lane(self) -> str:
        """Name of the lane that runs it."""
        return LANE_OF_ENGINE[self.engine].value


def text_tokens(text: str) -> int:
    """About how many tokens ``text`` has."""
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)


def window_clips(manifest: Manifest, config: RuntimeConfig) -> int:
    """Clips that are integrated exactly, M (``LongTermMemory``)."""
    return max(
        1,
        min(
            config.long_term.max_clips,
            manifest.memory.max_positions // _clip_rows(manifest, config),
        ),
    )


def selected_clips(config: RuntimeConfig) -> int:
    """Most clips a question retrieves (``select``); only so many share a probability of 1."""
    retrieval = config.retrieval
    if retrieval.rule == "top_k":
        return retrieval.top_k
    if retrieval.rule == "softmax_threshold":
        most = 1 / retrieval.min_probability if retrieval.min_probability else math.inf
        return int(min(retrieval.candidates, most))
    return 1


def context_tokens(manifest: Manifest, config: RuntimeConfig) -> int:
    """Tokens of the answer's arena (``Reasoner``)."""
    return config.reasoning.context_tokens or manifest.reasoner.max_positions


def new_tokens(manifest: Manifest, config: RuntimeConfig) -> int:
    """Longest answer in tokens (``Reasoner``)."""
    return config.reasoning.max_new_tokens or manifest.reasoner.max_new_tokens


def longest_prompt(manifest: Manifest, config: RuntimeConfig) -> int:
    """Rows of the longest prompt (``assemble``)."""
    context = context_tokens(manifest, config)
    return min(
        max(1, context - new_tokens(manifest, config)),
        config.budget.max_prompt_tokens or context,
        config.budget.max_visual_tokens
        + _memory_rows(manifest, config)
        + _check_tokens(manifest, config),
    )


def vit_rows(grid: int) -> int:
    """Rows of one picture in a tower whose patches are mixed 2×2: patches and the class token."""
    return (2 * grid) ** 2 + 1


def lane_demands(manifest: Manifest, config: RuntimeConfig) -> tuple[EngineDemand, ...]:
    """The demand on every engine, in the order data flows."""
    return (*_memory(manifest, config), *_audio(manifest, config), *_reasoner(manifest, config))


def _memory(m: Manifest, config: RuntimeConfig) -> tuple[EngineDemand, ...]:
    spec, frames = m.memory, config.segmentation.clip_max
    patches = spec.grid**2
    clip = frames * (patches + spec.slots) + 1
    compressed = text_tokens(config.compression.prompt) + clip
    window = window_clips(m, config)
    question = window + config.retrieval.max_question_tokens
    held = (
        *[compressed] * config.compression.max_concurrent,
        window * _clip_rows(m, config),
        question,
    )
    arenas = tuple(_block(tokens, spec.max_positions) for tokens in held)
    step = max(
        config.compression.step_tokens, config.long_term.step_tokens, config.retrieval.step_tokens
    )
    rows = min(step, max(arenas))
    return (
        EngineDemand(
            engine="mem_vit",
            rows=vit_rows(spec.grid),
            arenas=(),
            fed_values=spec.pixels**2 * 3 // 4,
            given_values=patches * spec.features + spec.cls,
            apart=True,
        ),
        EngineDemand(
            engine="mem_proj",
            rows=clip,
            arenas=(),
            fed_values=frames * patches * spec.features,
            given_values=clip * spec.hidden,
            units=frames,
        ),
        EngineDemand(
            engine="mem_lm",
            rows=rows,
            arenas=arenas,
            fed_values=(rows + compressed) * spec.hidden,
            given_values=rows * spec.hidden,
        ),
    )


def _audio(m: Manifest, config: RuntimeConfig) -> tuple[EngineDemand, ...]:
    spec = m.audio
    heard = audio_tokens(spec.max_samples, spec.hop)
    before = text_tokens(BEFORE_AUDIO)
    after = max(text_tokens(AFTER_AUDIO.format(instruction=i)) for i in (CLASSIFY, TRANSCRIBE))
    written = max(config.recognition.max_tokens, config.recognition.max_label_tokens)
    capacity = min(spec.max_positions, before + heard + after + written)
    rows = min(config.recognition.step_tokens, capacity, heard + after)
    return (
        EngineDemand(
            engine="aud_enc",
            rows=2 * heard,
            arenas=(),
            fed_values=spec.max_samples,
            given_values=heard * spec.hidden,
            units=spec.max_samples,
        ),
        EngineDemand(
            engine="aud_lm",
            rows=rows,
            arenas=(capacity,),
            fed_values=rows * spec.hidden,
            given_values=spec.vocab,
        ),
    )


def _reasoner(m: Manifest, config: RuntimeConfig) -> tuple[EngineDemand, ...]:
    spec = m.reasoner
    context = context_tokens(m, config)
    check = _check_tokens(m, config)
    checked = text_tokens(config.instruction.template) + 2 * config.turn.max_words
    rows = max(
        min(config.reasoning.prefill_chunk, context),
        min(config.instruction.step_tokens, check, checked),
    )
    tiles = config.prompt.tiles_per_step
    memory_rows = _memory_rows(m, config)
    return (
        EngineDemand(
            engine="vlm_vit",
            rows=tiles * vit_rows(spec.grid),
            arenas=(),
            fed_values=tiles * spec.pixels**2 * 3 // 4,
            given_values=tiles * spec.grid**2 * spec.hidden,
            units=tiles,
            apart=True,
        ),
        EngineDemand(
            engine="mem_to_vlm",
            rows=memory_rows,
            arenas=(),
            fed_values=memory_rows * m.memory.hidden,
            given_values=memory_rows * spec.hidden,
            units=memory_rows,
        ),
        EngineDemand(
            engine="vlm_lm",
            rows=rows,
            arenas=(context, check),
            # Evidence in parts, and the prompt they are joined to.
            fed_values=(rows + 2 * longest_prompt(m, config)) * spec.hidden,
            given_values=spec.vocab,
        ),
    )


def _check_tokens(m: Manifest, config: RuntimeConfig) -> int:
    """Tokens of the instruction check's arena."""
    return min(config.instruction.max_prompt_tokens, m.reasoner.max_positions)


def _memory_rows(m: Manifest, config: RuntimeConfig) -> int:
    """Most rows of memory in a prompt: the overview, and H of the clips retrieved."""
    retrieved = selected_clips(config) * m.memory.slots * config.segmentation.clip_max
    return min(m.memory.max_positions, window_clips(m, config) + retrieved)


def _clip_rows(m: Manifest, config: RuntimeConfig) -> int:
    """Rows of long-term memory's input per clip: H and Ĥ."""
    return m.memory.slots * config.segmentation.clip_max + 1


def _block(tokens: int, positions: int) -> int:
    """Capacity of an arena for ``tokens`` (``arena_for``)."""
    return min(-(-tokens // ARENA_BLOCK_TOKENS) * ARENA_BLOCK_TOKENS, positions)
