"""The budget: within every limit, the richest evidence first, and never silent."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from omnilive.errors import TooLongError
from omnilive.reasoning.budget import MemoryCounts, VisualBudget, choose_evidence, thinned
from omnilive.reasoning.config import BudgetConfig
from omnilive.reasoning.image_tokens import TileGeometry, token_count

FULL = TileGeometry(560, 20)
MICRO = TileGeometry(168, 6)
NO_LIMITS = BudgetConfig(max_visual_tokens=10**9, max_frames=10**6, transform="image")
TEXT = 40


@st.composite
def memories(draw: st.DrawFn) -> MemoryCounts:
    clips = draw(st.lists(st.integers(4, 64), max_size=5))
    return MemoryCounts(
        overview=draw(st.sampled_from([0, 10, 70])),
        clips=tuple(clips),
        related_label=7,
        ranking=tuple(draw(st.permutations(range(len(clips))))),
    )


CONFIGS = st.builds(
    BudgetConfig,
    max_visual_tokens=st.sampled_from([0, 50, 900, 2100, 5000, 20_000]),
    max_prompt_tokens=st.sampled_from([0, 100, 1000, 6000]),
    max_prefill_ms=st.sampled_from([0, 20, 300, 3000]),
    prefill_us_per_token=st.just(100.0),
    tile_us=st.just(5000.0),
    max_frames=st.integers(0, 12),
    transform=st.sampled_from(["image", "video"]),
    hd_num=st.integers(1, 24),
    max_frames_per_tile=st.sampled_from([0.5, 1.0, 2.0]),
)
FRAMES = st.lists(
    st.sampled_from([(1280, 720), (640, 480), (512, 910), (100, 100), (3000, 40)]), max_size=10
)
CONTEXTS = st.sampled_from([TEXT, 300, 1000, 5000, 24_000])


def choose(
    frames: list[tuple[int, int]],
    memory: MemoryCounts,
    config: BudgetConfig,
    context: int = 10**9,
    geometry: TileGeometry = FULL,
) -> VisualBudget:
    return choose_evidence(frames, memory, TEXT, config, geometry=geometry, context_tokens=context)


def visual_limits_hold(chosen: VisualBudget, config: BudgetConfig, context: int) -> bool:
    return (
        chosen.visual_tokens <= config.max_visual_tokens
        and chosen.prompt_tokens <= context
        and (not config.max_prompt_tokens or chosen.prompt_tokens <= config.max_prompt_tokens)
        and (not config.max_prefill_ms or chosen.prefill_ms <= config.max_prefill_ms)
    )


@given(frames=FRAMES, memory=memories(), config=CONFIGS, context=CONTEXTS)
@settings(max_examples=150, deadline=None)
def test_no_limit_is_ever_exceeded_by_evidence(
    frames: list[tuple[int, int]], memory: MemoryCounts, config: BudgetConfig, context: int
) -> None:
    config.validate()
    chosen = choose(frames, memory, config, context)
    nothing = not (chosen.frames or chosen.clips or chosen.overview)
    assert visual_limits_hold(chosen, config, context) or nothing
    assert chosen.prompt_tokens <= context
    assert len(chosen.frames) <= config.max_frames
    assert chosen.prompt_tokens == chosen.text_tokens + chosen.memory_tokens + chosen.visual_tokens
    if chosen.scaled is not None:
        rows, columns = chosen.scaled.rows, chosen.scaled.columns
        assert chosen.visual_tokens == token_count(rows, columns, FULL.grid)
        assert chosen.tiles == rows * columns + 1


@given(frames=FRAMES, memory=memories(), config=CONFIGS, context=CONTEXTS)
@settings(max_examples=150, deadline=None)
def test_what_is_left_out_is_never_left_out_silently(
    frames: list[tuple[int, int]], memory: MemoryCounts, config: BudgetConfig, context: int
) -> None:
    chosen = choose(frames, memory, config, context)
    richest = choose(
        frames,
        memory,
        dataclasses.replace(
            NO_LIMITS,
            transform=config.transform,
            hd_num=config.hd_num,
            max_frames_per_tile=config.max_frames_per_tile,
        ),
    )
    same = dataclasses.replace(chosen, limited_by="", prefill_ms=0) == dataclasses.replace(
        richest, limited_by="", prefill_ms=0
    )
    assert richest.limited_by == ""
    assert same == (chosen.limited_by == "")


@given(
    frames=FRAMES,
    memory=memories(),
    config=CONFIGS,
    context=CONTEXTS,
    tokens=st.integers(0, 4000),
    more_context=st.integers(0, 4000),
    ms=st.integers(0, 2000),
)
@settings(max_examples=150, deadline=None)
def test_a_larger_budget_never_gives_less(
    frames: list[tuple[int, int]],
    memory: MemoryCounts,
    config: BudgetConfig,
    context: int,
    tokens: int,
    more_context: int,
    ms: int,
) -> None:
    larger = dataclasses.replace(
        config,
        max_visual_tokens=config.max_visual_tokens + tokens,
        max_prefill_ms=config.max_prefill_ms + ms if config.max_prefill_ms else 0,
    )
    before = choose(frames, memory, config, context)
    after = choose(frames, memory, larger, context + more_context)

    def rank(chosen: VisualBudget) -> tuple[object, ...]:
        # The order in which evidence is given up, last first.
        return (
            bool(chosen.frames),
            chosen.overview,
            len(chosen.clips),
            len(chosen.frames),
            chosen.visual_tokens,
        )

    assert rank(after) >= rank(before)


@given(frames=FRAMES.filter(len), memory=memories(), config=CONFIGS, context=CONTEXTS)
@settings(max_examples=150, deadline=None)
@example(
    frames=[(1280, 720)],
    memory=MemoryCounts(overview=70),
    config=BudgetConfig(max_visual_tokens=900, transform="video"),
    context=TEXT + 841,
)
def test_a_frame_is_kept_whenever_one_fits_alone(
    frames: list[tuple[int, int]], memory: MemoryCounts, config: BudgetConfig, context: int
) -> None:
    config = dataclasses.replace(config, max_frames=max(1, config.max_frames))
    smallest = token_count(1, 1, FULL.grid)
    one = dataclasses.replace(
        choose([], MemoryCounts(), NO_LIMITS),
        visual_tokens=smallest,
        prompt_tokens=TEXT + smallest,
        prefill_ms=(2 * config.tile_us + (TEXT + smallest) * config.prefill_us_per_token) / 1000,
    )
    # The smallest picture is one tile unless the frame is so long that its short side vanishes.
    if visual_limits_hold(one, config, context):
        assert choose(frames, memory, config, context).frames


def test_evidence_is_given_up_in_the_stated_order() -> None:
    frames = [(1280, 720)] * 8
    memory = MemoryCounts(overview=30, clips=(64, 48), related_label=7, ranking=(1, 0))
    full = choose(frames, memory, NO_LIMITS)
    seen = [full]
    while seen[-1].prompt_tokens > TEXT:
        limit = seen[-1].prompt_tokens - 1
        seen.append(choose(frames, memory, dataclasses.replace(NO_LIMITS, max_prompt_tokens=limit)))
    steps = [(len(c.frames), c.tiles, c.clips, c.overview) for c in seen]
    assert steps[0] == (8, full.tiles, (0, 1), True)
    fewer_tiles = [s for s in steps if s[0] == 8]
    assert [s[1] for s in fewer_tiles] == sorted((s[1] for s in fewer_tiles), reverse=True)
    assert len(fewer_tiles) > 1
    # Tiles shrink to two frames a tile before a frame goes, then frames go, then clips.
    assert fewer_tiles[-1][1] == 1 + 8 / 2
    kept_everything = [s for s in steps if s[0] and s[2] == (0, 1)]
    frames_kept = [s[0] for s in kept_everything]
    assert frames_kept == sorted(frames_kept, reverse=True)
    # Two frames in one tile cost what one frame costs, so the richer choice stays.
    assert [(s[0], s[2], s[3]) for s in steps[len(kept_everything) - 1 :]] == [
        (2, (0, 1), True),
        (2, (1,), True),
        (2, (), True),
        (2, (), False),
        (0, (0, 1), True),
        (0, (1,), True),
        (0, (), True),
        (0, (), False),
    ]


@pytest.mark.parametrize(
    ("changes", "context", "reason"),
    [
        ({}, 10**9, ""),
        ({"max_visual_tokens": 2000}, 10**9, "tokens"),
        ({"max_prompt_tokens": 2000}, 10**9, "tokens"),
        ({}, 2000, "context"),
        ({"max_prefill_ms": 200, "prefill_us_per_token": 100}, 10**9, "latency"),
        ({"max_frames": 1}, 10**9, "frames"),
        ({"max_visual_tokens": 0}, 10**9, "tokens"),
        (
            {"max_visual_tokens": 3000, "max_prefill_ms": 1, "prefill_us_per_token": 100},
            10**9,
            "latency",
        ),
    ],
)
def test_the_limit_that_binds_is_named(
    changes: dict[str, float], context: int, reason: str
) -> None:
    config = dataclasses.replace(NO_LIMITS, **changes)
    assert choose([(1280, 720)] * 2, MemoryCounts(), config, context).limited_by == reason


def test_the_reference_cases_cost_what_the_spec_says() -> None:
    two = choose([(1280, 720)] * 2, MemoryCounts(), NO_LIMITS)
    assert (two.visual_tokens, two.tiles) == (4081, 10)
    video = dataclasses.replace(NO_LIMITS, transform="video")
    assert choose([(1280, 720)] * 32, MemoryCounts(), video).visual_tokens == 8821


def test_the_tile_limit_may_be_below_the_frames_per_tile_rule() -> None:
    config = dataclasses.replace(NO_LIMITS, hd_num=2)
    chosen = choose([(1280, 720)] * 32, MemoryCounts(), config, geometry=MICRO)
    assert len(chosen.frames) == 32
    assert chosen.tiles == 3


def test_without_frames_only_memory_is_budgeted() -> None:
    memory = MemoryCounts(overview=10, clips=(64,), related_label=7, ranking=(0,))
    chosen = choose([], memory, NO_LIMITS)
    assert (chosen.tiles, chosen.scaled, chosen.limited_by) == (0, None, "")
    assert chosen.memory_tokens == 81


def test_text_without_frames_is_counted_as_it_will_be_written() -> None:
    chosen = choose_evidence(
        [(1280, 720)],
        MemoryCounts(),
        TEXT,
        dataclasses.replace(NO_LIMITS, max_visual_tokens=0),
        geometry=FULL,
        context_tokens=1000,
        text_tokens_without_frames=TEXT - 9,
    )
    assert chosen.prompt_tokens == chosen.text_tokens == TEXT - 9


def test_a_question_beyond_the_context_is_refused() -> None:
    with pytest.raises(TooLongError, match="shorter question"):
        choose([], MemoryCounts(), NO_LIMITS, context=TEXT - 1)


@given(count=st.integers(1, 200), data=st.data())
def test_thinning_is_uniform_and_keeps_the_newest(count: int, data: st.DataObject) -> None:
    keep = data.draw(st.integers(1, count))
    kept = thinned(count, keep)
    assert len(kept) == keep
    assert kept[-1] == count - 1
    gaps = [b - a for a, b in zip((-1, *kept), kept, strict=False)]
    assert max(gaps) - min(gaps) <= 1
    assert min(gaps) >= 1


@pytest.mark.parametrize("ranking", [(), (0, 0), (1, 2)])
def test_a_ranking_that_orders_other_clips_is_refused(ranking: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not order 2 clips"):
        MemoryCounts(clips=(4, 4), ranking=ranking)


def test_by_default_at_most_eight_frames_are_shown_their_short_side_one_tile() -> None:
    chosen = choose_evidence(
        [(640, 360)] * 20,
        MemoryCounts(),
        40,
        BudgetConfig(),
        geometry=TileGeometry(168, 6),
        context_tokens=4_000,
    )
    assert chosen.frames == (1, 4, 6, 9, 11, 14, 16, 19)
    assert (chosen.transform, chosen.tiles, chosen.limited_by) == ("video", 6, "frames")
