"""What one answer will take: its evidence by the runtime's own budget, and the seconds before it.

Seconds are floating point operations over the machine's arithmetic rate. Memory traffic,
kernels and other lanes are left out, so it is an estimate from below on a busy machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.config import RuntimeConfig
from omnilive.engine.manifest import EngineSize, Manifest
from omnilive.plan.cost import operations
from omnilive.plan.demand import (
    context_tokens,
    new_tokens,
    selected_clips,
    text_tokens,
    vit_rows,
    window_clips,
)
from omnilive.plan.size import size_of
from omnilive.reasoning.budget import MemoryCounts, choose_evidence
from omnilive.reasoning.image_tokens import TileGeometry

TYPICAL_QUESTION = "What is the person in the blue shirt doing with the red box on the table?"
"""A question as long as spoken ones are; only its length counts."""


@dataclass(frozen=True)
class AnswerForecast:
    """One answer with as much evidence as the budget lets it have.

    Attributes:
        frames, tiles: frames shown, and tiles encoded for them.
        visual_tokens, memory_tokens, text_tokens, prompt_tokens: parts of the prompt and sum.
        limited_by: which limit kept evidence out (``VisualBudget.limited_by``).
        gflops: the arithmetic rate the seconds follow from, 1e9 operations per second.
        tile_us, prefill_us_per_token: microseconds of a tile, and of a prompt token on average.
        seconds: of tiles and prefill.
    """

    frames: int
    tiles: int
    visual_tokens: int
    memory_tokens: int
    text_tokens: int
    prompt_tokens: int
    limited_by: str
    gflops: float
    tile_us: float
    prefill_us_per_token: float
    seconds: float


def forecast_answer(
    manifest: Manifest, config: RuntimeConfig, *, frame_size: tuple[int, int], gflops: float
) -> AnswerForecast:
    """Predict an answer from a full memory about ``budget.max_frames`` frames.

    Args:
        manifest: the pack's.
        config: the run's.
        frame_size: width and height of the source's frames, pixels.
        gflops: arithmetic rate, above 0.

    A context too small even for the question is planned as if the question filled it: asking
    refuses it, planning need not.
    """
    spec, clip_rows = manifest.reasoner, manifest.memory.slots * config.segmentation.clip_max
    words, memory = config.prompt, MemoryCounts()
    if config.evidence.memory_tokens:
        clips = (clip_rows,) * selected_clips(config)
        memory = MemoryCounts(
            overview=window_clips(manifest, config) + text_tokens(words.overview_label),
            clips=clips,
            related_label=text_tokens(words.related_label),
            ranking=tuple(range(len(clips))),
        )
    texts = (words.system_prompt_en, words.question_template, TYPICAL_QUESTION)
    text = sum(map(text_tokens, texts))
    room = context_tokens(manifest, config) - new_tokens(manifest, config)
    chosen = choose_evidence(
        [frame_size] * config.budget.max_frames,
        memory,
        text,
        config.budget,
        geometry=TileGeometry(spec.pixels, spec.grid),
        context_tokens=max(text, room),
    )
    tile, prefill = _operations(
        manifest, chosen.prompt_tokens, chosen.memory_tokens, chosen.visual_tokens
    )
    rate = gflops * 1e9
    return AnswerForecast(
        frames=len(chosen.frames),
        tiles=chosen.tiles,
        visual_tokens=chosen.visual_tokens,
        memory_tokens=chosen.memory_tokens,
        text_tokens=chosen.text_tokens,
        prompt_tokens=chosen.prompt_tokens,
        limited_by=chosen.limited_by,
        gflops=gflops,
        tile_us=tile / rate * 1e6,
        prefill_us_per_token=prefill / rate / chosen.prompt_tokens * 1e6,
        seconds=(chosen.tiles * tile + prefill) / rate,
    )


def _operations(manifest: Manifest, prompt: int, memory: int, visual: int) -> tuple[float, float]:
    """Operations of one tile, and of a prompt with so many memory and visual tokens."""
    rows = vit_rows(manifest.reasoner.grid)
    tower = _size(manifest, "vlm_vit")
    lm = _size(manifest, "vlm_lm")
    bridge = _size(manifest, "mem_to_vlm")
    tile = operations(tower, rows, context=rows)
    # A causal row attends to half of the prompt on average.
    prefill = operations(lm, prompt, context=prompt // 2, heads=1, plora=memory + visual)
    return tile, prefill + operations(bridge, memory, context=0)


def _size(manifest: Manifest, name: str) -> EngineSize:
    return size_of(manifest.engines[name], manifest)
