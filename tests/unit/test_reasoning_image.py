"""Pictures: what they cost, how frames are stitched, how tiles are cut and ordered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.reasoning.image_tokens import (
    ScaledPicture,
    arrange,
    image_scaled,
    token_count,
    video_scaled,
)
from omnilive.reasoning.stitch import LEAST_STRIP, Stitching, layout, scaled_size, stitch
from omnilive.reasoning.tiles import tiles_of

PIXELS, GRID = 560, 20
SIZES = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


def grid_of(scaled: ScaledPicture) -> tuple[int, int]:
    return scaled.rows, scaled.columns


def canvas(width: int, height: int, frames: int) -> tuple[int, int]:
    plan = layout([(width, height)] * frames, PIXELS)
    return plan.width, plan.height


# Spec §1.4's table, row by row.
@pytest.mark.parametrize(
    ("size", "transform", "grid", "tokens"),
    [
        ((100, 100), "image", (1, 1), 841),
        (canvas(1280, 720, 1), "image", (2, 2), 2061),
        (canvas(1280, 720, 2), "image", (3, 3), 4081),
        (canvas(640, 480, 2), "image", (4, 3), 5301),
        (canvas(512, 910, 2), "image", (3, 3), 4081),
        (canvas(1280, 720, 32), "video", (20, 1), 8821),
        (canvas(1280, 720, 64), "video", (39, 1), 16801),
        (canvas(640, 480, 32), "video", (26, 1), 11341),
        (canvas(640, 480, 64), "video", (51, 1), 21841),
    ],
)
def test_a_picture_costs_what_the_reference_says(
    size: tuple[int, int], transform: str, grid: tuple[int, int], tokens: int
) -> None:
    image = transform == "image"
    scaled = image_scaled(*size, 24, PIXELS) if image else video_scaled(*size, PIXELS)
    assert grid_of(scaled) == grid
    assert token_count(*grid, GRID) == tokens


@given(size=SIZES, hd_num=st.integers(1, 40))
def test_the_image_transform_keeps_within_its_tiles_and_its_picture_within_them(
    size: tuple[int, int], hd_num: int
) -> None:
    scaled = image_scaled(*size, hd_num, PIXELS)
    assert 1 <= scaled.rows * scaled.columns <= hd_num
    assert (scaled.rows - 1) * PIXELS < scaled.height <= scaled.rows * PIXELS
    assert (scaled.columns - 1) * PIXELS < scaled.width <= scaled.columns * PIXELS


@given(size=SIZES, hd_num=st.integers(1, 40))
def test_portrait_costs_the_same_as_the_landscape_it_is_turned_from(
    size: tuple[int, int], hd_num: int
) -> None:
    turned = image_scaled(*size[::-1], hd_num, PIXELS)
    assert grid_of(image_scaled(*size, hd_num, PIXELS)) == grid_of(turned)[::-1]
    turned = video_scaled(*size[::-1], PIXELS)
    assert grid_of(video_scaled(*size, PIXELS)) == grid_of(turned)[::-1]


@given(size=SIZES, hd_num=st.integers(1, 39))
def test_more_tiles_never_make_a_smaller_picture(size: tuple[int, int], hd_num: int) -> None:
    less = image_scaled(*size, hd_num, PIXELS)
    more = image_scaled(*size, hd_num + 1, PIXELS)
    assert less.width <= more.width
    assert less.height <= more.height


@given(size=SIZES)
def test_the_video_transform_makes_the_short_side_one_tile(size: tuple[int, int]) -> None:
    scaled = video_scaled(*size, PIXELS)
    assert min(scaled.width, scaled.height) == PIXELS
    assert min(scaled.rows, scaled.columns) == 1


def test_landscape_frames_are_stacked_each_under_its_own_strip() -> None:
    plan = layout([(1280, 720)] * 2, PIXELS)
    assert (plan.width, plan.height) == (1120, 2 * (40 + 630 + 10))
    assert [(f.left, f.top, f.label_top) for f in plan.frames] == [(0, 40, 0), (0, 720, 680)]
    assert plan.lines == ((0, 675, 1120, 675),)
    assert plan.line == 2


def test_portrait_frames_stand_side_by_side_under_one_strip() -> None:
    plan = layout([(512, 910)] * 3, PIXELS)
    assert (plan.width, plan.height) == (3 * 640, 1160)
    assert [(f.left, f.top, f.label_left) for f in plan.frames] == [
        (0, 40, 0),
        (640, 40, 640),
        (1280, 40, 1280),
    ]
    assert plan.lines == ((635, 0, 635, 1160), (1275, 0, 1275, 1160))


def test_the_last_frame_decides_how_mixed_frames_are_laid_out() -> None:
    stacked = layout([(512, 910), (1280, 720)], PIXELS)
    assert (stacked.width, stacked.height) == (1120, 40 + 1120 + 10 + 40 + 630 + 10)
    beside = layout([(1280, 720), (512, 910)], PIXELS)
    assert (beside.width, beside.height) == (1120 + 10 + 630 + 10, 40 + 1120)


@given(
    sizes=st.lists(SIZES, min_size=1, max_size=6), pixels=st.sampled_from([56, 112, 168, 336, 560])
)
def test_no_two_frames_and_no_label_overlap(sizes: list[tuple[int, int]], pixels: int) -> None:
    plan = layout(sizes, pixels)
    taken = [(f.left, f.top, f.left + f.width, f.top + f.height) for f in plan.frames]
    assert plan.strip >= LEAST_STRIP
    for index, (left, top, right, bottom) in enumerate(taken):
        assert 0 <= left < right <= plan.width
        assert 0 <= top < bottom <= plan.height
        assert plan.frames[index].label_top + plan.strip <= top
        for other in taken[index + 1 :]:
            assert right < other[0] or bottom < other[1]
    for (left, top, _, _), after in zip(plan.lines, taken[1:], strict=True):
        assert top < after[1] or left < after[0]


def test_a_stitched_picture_holds_each_frame_its_label_and_white() -> None:
    colours = [(200, 30, 30), (30, 30, 200)]
    frames = [np.full((72, 128, 3), colour, np.uint8) for colour in colours]
    picture = stitch(frames, 168)
    plan = layout([(128, 72)] * 2, 168)
    assert picture.shape == (plan.height, plan.width, 3)
    for place, colour in zip(plan.frames, colours, strict=True):
        inside = picture[place.top : place.top + place.height, : place.width]
        assert (inside == colour).all()
        label = picture[place.label_top : place.label_top + plan.strip]
        assert (label < 100).any()
        assert (label[:, plan.width // 2 :] == 255).all()


def test_a_frame_of_another_size_than_laid_out_or_one_too_many_is_refused() -> None:
    stitching = Stitching([(128, 72)], 168)
    with pytest.raises(ValueError, match="1 frames are missing"):
        stitching.picture()
    with pytest.raises(ValueError, match="not what was laid out"):
        stitching.add(np.zeros((73, 128, 3), np.uint8))
    stitching.add(np.zeros((72, 128, 3), np.uint8))
    with pytest.raises(ValueError, match="not what was laid out"):
        stitching.add(np.zeros((72, 128, 3), np.uint8))


def test_labels_tell_frames_apart() -> None:
    frame = np.zeros((90, 160, 3), np.uint8)
    picture = stitch([frame, frame], 168)
    plan = layout([(160, 90)] * 2, 168)
    first, second = (picture[f.label_top : f.label_top + plan.strip] for f in plan.frames)
    assert (first != second).any()


def test_one_frame_has_no_line() -> None:
    assert layout([(640, 480)], PIXELS).lines == ()


@given(size=SIZES)
def test_a_frames_long_side_becomes_two_tiles(size: tuple[int, int]) -> None:
    assert max(scaled_size(*size, PIXELS)) == 2 * PIXELS


def test_tiles_are_the_squashed_whole_then_the_map_row_by_row() -> None:
    side = 28
    # Each quarter of a 2x2-tile picture has its own colour, so resizing changes nothing inside.
    quarters = np.arange(1, 5, dtype=np.uint8).reshape(2, 2) * 50
    picture = np.repeat(np.repeat(quarters, side, 0), side, 1)[..., None].repeat(3, 2)
    scaled = image_scaled(2 * side, 2 * side, 4, side)
    tiles = tiles_of(picture, scaled, side)
    assert tiles.shape == (5, side, side, 3)
    assert [int(tile[side // 2, side // 2, 0]) for tile in tiles[1:]] == [50, 100, 150, 200]
    corners = tiles[0][[2, 2, -3, -3], [2, -3, 2, -3], 0]
    np.testing.assert_allclose(corners, [50, 100, 150, 200], atol=3)


@pytest.mark.parametrize(("shape", "edge"), [((20, 56), np.s_[-1, :]), ((56, 20), np.s_[:, -1])])
def test_what_a_picture_leaves_of_its_tiles_is_white(
    shape: tuple[int, int], edge: tuple[object, object]
) -> None:
    scaled = image_scaled(shape[1], shape[0], 2, 28)
    tiles = tiles_of(np.zeros((*shape, 3), np.uint8), scaled, 28)
    assert (tiles[-1][edge] == 255).all()
    # The global view is of the padded picture.
    assert (tiles[0][edge] > 250).all()
    assert (tiles[1][0, 0] == 0).all()


@given(rows=st.integers(1, 4), columns=st.integers(1, 4), grid=st.integers(1, 4))
@settings(max_examples=40)
def test_image_tokens_are_the_global_view_a_separator_and_the_map_with_newlines(
    rows: int, columns: int, grid: int
) -> None:
    tiles = rows * columns + 1
    # A token's value names its tile, row and column; separators are negative.
    values = np.arange(tiles * grid * grid, dtype=np.float32)
    tokens = arrange(
        values.reshape(tiles, grid * grid, 1),
        np.array([[-1], [-2]], np.float32),
        rows,
        columns,
    )[:, 0]
    assert len(tokens) == token_count(rows, columns, grid)
    whole = tokens[: grid * (grid + 1)].reshape(grid, grid + 1)
    assert (whole[:, -1] == -2).all()
    np.testing.assert_array_equal(whole[:, :-1].ravel(), values[: grid * grid])
    assert tokens[grid * (grid + 1)] == -1
    lines = tokens[grid * (grid + 1) + 1 :].reshape(rows * grid, columns * grid + 1)
    assert (lines[:, -1] == -2).all()
    for y in range(rows * grid):
        for x in range(columns * grid):
            tile = 1 + (y // grid) * columns + x // grid
            assert lines[y, x] == tile * grid * grid + (y % grid) * grid + x % grid


def test_embeds_of_another_number_of_tiles_are_refused() -> None:
    with pytest.raises(ValueError, match="no picture of 2x2 tiles"):
        arrange(np.zeros((4, 4, 3), np.float32), np.zeros((2, 3), np.float32), 2, 2)
