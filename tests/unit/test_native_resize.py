"""The native resampler against Pillow and NumPy, by every instruction set of this machine."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from omnilive._native import instruction_sets, normalized_planes, resize_nv12, resize_rgb

SIDES = st.integers(1, 80)
Filter = Literal["bicubic", "bilinear"]
FILTERS: tuple[Filter, ...] = ("bicubic", "bilinear")


def noise(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_pillow(
    rgb: npt.NDArray[np.uint8], height: int, width: int, filter: Filter = "bicubic"
) -> npt.NDArray[np.uint8]:
    """Pillow's two passes, columns first: asked for both at once it may take the other order."""
    kernel = Image.Resampling[filter.upper()]
    columns = Image.fromarray(rgb).resize((width, len(rgb)), kernel)
    return np.asarray(columns.resize((width, height), kernel))


def worst_difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> int:
    return int(np.abs(a.astype(np.int16) - b.astype(np.int16)).max())


@given(
    height=SIDES,
    width=SIDES,
    out_h=SIDES,
    out_w=SIDES,
    seed=st.integers(0, 2**32 - 1),
    filter=st.sampled_from(FILTERS),
)
def test_any_size_to_any_size_is_within_two_of_pillow_by_every_instruction_set(
    height: int, width: int, out_h: int, out_w: int, seed: int, filter: Filter
) -> None:
    rgb = noise(seed, height, width)
    pillow = by_pillow(rgb, out_h, out_w, filter)
    resized = resize_rgb(rgb, out_h, out_w, filter=filter)
    assert resized.shape == (out_h, out_w, 3)
    assert resized.dtype == np.uint8
    assert worst_difference(resized, pillow) <= 2
    for isa in instruction_sets():
        np.testing.assert_array_equal(
            resize_rgb(rgb, out_h, out_w, filter=filter, isa=isa), resized
        )


@pytest.mark.parametrize("source", [(720, 1280), (1080, 1920)])
@pytest.mark.parametrize("side", [336, 560])
def test_a_frame_of_noise_is_within_two_of_pillow(source: tuple[int, int], side: int) -> None:
    rgb = noise(6, *source)
    pillow = np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC))
    assert worst_difference(resize_rgb(rgb, side, side), pillow) <= 2


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


LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
Matrix = Literal["bt601", "bt709"]


def to_rgb(
    luma: npt.NDArray[np.float64], chroma: npt.NDArray[np.float64], matrix: Matrix, full: bool
) -> npt.NDArray[np.float64]:
    """RGB 0 to 255 of luma [h, w] and chroma [h, w, 2] as ITU-R BT.601 and BT.709 define it."""
    red, blue = LUMA_WEIGHTS[matrix]
    y = luma if full else (luma - 16) * 255 / 219
    u, v = np.moveaxis((chroma - 128) * (1 if full else 255 / 224), -1, 0)
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], axis=-1), 0, 255)


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full", [False, True])
@given(
    height=st.integers(2, 90),
    width=st.integers(2, 90),
    out_h=SIDES,
    out_w=SIDES,
    filter=st.sampled_from(FILTERS),
    isa=st.sampled_from(instruction_sets()),
)
def test_nv12_of_one_color_is_that_color(
    matrix: Matrix,
    full: bool,
    height: int,
    width: int,
    out_h: int,
    out_w: int,
    filter: Filter,
    isa: str,
) -> None:
    y, u, v = 90, 160, 70
    luma = np.full((height, width), y, np.uint8)
    chroma = np.broadcast_to(np.array([u, v], np.uint8), ((height + 1) // 2, (width + 1) // 2, 2))
    rgb = resize_nv12(
        luma, chroma, out_h, out_w, matrix=matrix, full_range=full, filter=filter, isa=isa
    )
    expected = to_rgb(np.array([[y]], float), np.array([[[u, v]]], float), matrix, full)
    assert rgb.shape == (out_h, out_w, 3)
    assert np.abs(rgb - expected).max() <= 0.51


@pytest.mark.parametrize("out", [(112, 112), (60, 200), (180, 320)])
@pytest.mark.parametrize("isa", instruction_sets())
def test_nv12_of_a_smooth_picture_is_that_picture_with_chroma_where_it_is_sited(
    out: tuple[int, int], isa: str
) -> None:
    height, width = 180, 320

    def sampled(rows: int, columns: int, dx: float, seed: int) -> npt.NDArray[np.float64]:
        """The wave at rows * columns points that divide the picture, moved right by dx."""
        y, x = np.mgrid[0:rows, 0:columns] + 0.5
        y, x = y * height / rows, x * width / columns + dx
        return 120 + 60 * np.sin((y + 3 * seed) / 13) * np.cos((x - seed) / 11)

    luma = np.round(sampled(height, width, 0, 1)).astype(np.uint8)
    # The left one of two luma columns is half a luma pixel left of their middle.
    chroma = np.stack([sampled(90, 160, -0.5, s) for s in (2, 3)], axis=-1)
    rgb = resize_nv12(
        luma, np.round(chroma).astype(np.uint8), *out, matrix="bt709", full_range=True, isa=isa
    )
    planes = [sampled(*out, 0, s) for s in (1, 2, 3)]
    expected = to_rgb(planes[0], np.stack(planes[1:], axis=-1), "bt709", True)
    inside = (slice(4, -4), slice(4, -4))
    assert np.sqrt(np.mean((rgb - expected)[inside] ** 2)) < 1


def test_planes_of_nv12_that_do_not_fit_are_refused() -> None:
    luma, chroma = np.zeros((5, 7), np.uint8), np.zeros((3, 4, 2), np.uint8)
    assert resize_nv12(luma, chroma, 2, 2, matrix="bt601", full_range=False).shape == (2, 2, 3)
    for bad in (chroma[:2], chroma[:, :3], chroma[..., :1]):
        with pytest.raises(ValueError, match="chroma must"):
            resize_nv12(luma, bad, 2, 2, matrix="bt601", full_range=False)
    with pytest.raises(ValueError, match="matrix must be"):
        resize_nv12(luma, chroma, 2, 2, matrix="bt2020", full_range=False)  # type: ignore[arg-type]


@given(height=SIDES, width=SIDES, seed=st.integers(0, 2**32 - 1))
def test_normalized_planes_are_those_of_numpy(height: int, width: int, seed: int) -> None:
    rgb = noise(seed, height, width)
    mean, deviation = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    planes = normalized_planes(rgb, mean, deviation)
    expected = ((rgb / 255 - mean) / deviation).transpose(2, 0, 1)
    assert planes.dtype == np.float32
    np.testing.assert_allclose(planes, expected, atol=1e-6)
    for isa in instruction_sets():
        np.testing.assert_array_equal(normalized_planes(rgb, mean, deviation, isa=isa), planes)
