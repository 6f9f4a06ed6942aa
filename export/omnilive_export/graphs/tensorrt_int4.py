"""Signed int4 blocks as TensorRT takes them: positive scales, no zero points, [in, out] order.

Arithmetic only: arrays in, arrays out. TensorRT's ONNX parser refuses a scale that is not
positive (QuantDequantLinearHelper of onnx-tensorrt), so the signed scales of `quantize`, finer as
they are, cannot be used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from omnilive_export.reading.row_source import F32

BLOCK_SIZES = (64, 128)
"""Block sizes TensorRT has ("Quantization schemes" of its documentation)."""

LOWEST, HIGHEST = -8, 7
"""The codes of a signed int4."""

U8 = npt.NDArray[np.uint8]


def quantize_columns(
    columns: F32, block: int, scale_dtype: str
) -> tuple[U8, npt.NDArray[np.floating[Any]]]:
    """Quantize [in, out] values to the nearest code, ``block`` inputs to a scale.

    A scale is the finest whose codes reach both ends of the block. It is rounded to its type
    before the codes are found, and never falls below the smallest normal number of that type.

    Args:
        columns: float32 [in, out]; ``in`` a multiple of ``block``, ``out`` even.
        block: values that share a scale.
        scale_dtype: ``float32`` or ``float16``.

    Returns:
        The codes uint8 [in, out / 2], two along the output axis, low bits first; the scales
        [in / block, out].
    """
    k, n = columns.shape
    blocks = columns.reshape(k // block, block, n)
    widest = np.maximum(blocks.max(axis=1) / HIGHEST, blocks.min(axis=1) / LOWEST)
    floor = np.finfo(scale_dtype).tiny
    scales = np.maximum(widest, floor).astype(scale_dtype)
    codes = blocks / scales.astype(np.float32)[:, None, :]
    np.rint(codes, out=codes)
    np.clip(codes, LOWEST, HIGHEST, out=codes)
    nibbles = codes.astype(np.int8).view(np.uint8).reshape(k, n) & np.uint8(0xF)
    return nibbles[:, 0::2] | (nibbles[:, 1::2] << np.uint8(4)), scales


def dequantize_columns(packed: U8, scales: npt.NDArray[np.floating[Any]], block: int) -> F32:
    """The float32 [in, out] values that the codes stand for."""
    k, half = packed.shape
    nibbles = np.empty((k, 2 * half), dtype=np.int8)
    nibbles[:, 0::2] = packed & 0xF
    nibbles[:, 1::2] = packed >> 4
    codes = np.where(nibbles > HIGHEST, nibbles - 16, nibbles).astype(np.float32)
    values: F32 = codes * np.repeat(scales.astype(np.float32), block, axis=0)
    return values
