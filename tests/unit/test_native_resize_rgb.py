"""The native resampler against Pillow's BICUBIC, and against what any resampler must do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from omnilive._native import resize_rgb

SIDES = st.integers(1, 80)


def noise(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_pillow(rgb: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Pillow's two passes, columns first: asked for both at once it may take the other order."""
    columns = Image.fromarray(rgb).resize((width, len(rgb)), Image.Resampling.BICUBIC)
    return np.asarray(columns.resize((width, height), Image.Resampling.BICUBIC))


def worst_difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> int:
    return int(np.abs(a.astype(np.int16) - b.astype(np.int16)).max())


@given(height=SIDES, width=SIDES, out_h=SIDES, out_w=SIDES, seed=st.integers(0, 2**32 - 1))
def test_any_size_to_any_size_is_within_one_of_pillow(
    height: int, width: int, out_h: int, out_w: int, seed: int
) -> None:
    rgb = noise(seed, height, width)
    resized = resize_rgb(rgb, out_h, out_w)
    assert resized.shape == (out_h, out_w, 3)
    assert resized.dtype == np.uint8
    assert worst_difference(resized, by_pillow(rgb, out_h, out_w)) <= 1


@pytest.mark.parametrize(("source", "side"), [((360, 640), 112), ((720, 405), 336)])
def test_a_frame_without_overshoot_is_within_two_of_pillow_in_either_order(
    source: tuple[int, int], side: int
) -> None:
    rows, columns = np.mgrid[0 : source[0], 0 : source[1]]
    waves = [np.sin(rows / period) * np.cos(columns / (period + 3)) for period in (5, 9, 40)]
    rgb = (127.5 + 80 * np.stack(waves, axis=-1)).astype(np.uint8)
    pillow = np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC))
    assert worst_difference(resize_rgb(rgb, side, side), pillow) <= 2


@given(color=st.tuples(*[st.integers(0, 255)] * 3), out_h=SIDES, out_w=SIDES)
def test_a_flat_picture_keeps_its_color(
    color: tuple[int, int, int], out_h: int, out_w: int
) -> None:
    flat = np.broadcast_to(np.array(color, np.uint8), (23, 31, 3))
    assert (resize_rgb(flat, out_h, out_w) == color).all()


@given(height=SIDES, width=SIDES)
def test_the_same_size_gives_an_equal_picture_of_its_own(height: int, width: int) -> None:
    rgb = noise(2, height, width)
    resized = resize_rgb(rgb, height, width)
    np.testing.assert_array_equal(resized, rgb)
    assert not np.shares_memory(resized, rgb)


def test_a_crop_a_mirror_and_a_rotation_resize_like_their_copies() -> None:
    rgb = noise(3, 50, 70)
    for view in (rgb[5:45, 10:60], rgb[:, ::-1], np.rot90(rgb), rgb[..., ::-1]):
        np.testing.assert_array_equal(resize_rgb(view, 20, 30), resize_rgb(view.copy(), 20, 30))


def test_a_reduction_averages_instead_of_skipping() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    reduced = resize_rgb(stripes, 8, 8)
    assert reduced.min() > 120
    assert reduced.max() < 136


@pytest.mark.parametrize(("out_h", "out_w"), [(0, 4), (4, 0), (-1, 4), (4, 2**62)])
def test_an_impossible_size_is_refused(out_h: int, out_w: int) -> None:
    with pytest.raises(ValueError, match=r"sides of a picture|must not be negative"):
        resize_rgb(noise(4, 4, 4), out_h, out_w)


def test_what_is_no_rgb_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="last axis has 4"):
        resize_rgb(np.zeros((4, 4, 4), np.uint8), 2, 2)
    with pytest.raises(ValueError, match="sides of a picture"):
        resize_rgb(np.zeros((0, 4, 3), np.uint8), 2, 2)
    with pytest.raises(TypeError):
        resize_rgb(np.zeros((4, 4, 3), np.float32), 2, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="filter must be 'bicubic'"):
        resize_rgb(noise(5, 4, 4), 2, 2, filter="nearest")  # type: ignore[arg-type]
