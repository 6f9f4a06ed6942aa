"""Blocks of quantized weights in the packing of ONNX Runtime's MatMulNBits, and round-to-nearest.

Arithmetic only: arrays in, arrays out. It never reads a checkpoint or writes a file.

Layout of a [n, k] weight (com.microsoft MatMulNBits): ``packed`` uint8 [n, blocks, block*bits/8],
low nibble first for 4 bits; ``scales`` float32 [n, blocks]; ``zero_points`` uint8
[n, ceil(blocks*bits/8)], absent for symmetric weights, whose zero point is 2^(bits-1).
The value of a weight is (q - zero_point) * scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive._native import quantize_nearest
from omnilive_export.threads import usable_cores

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BlockFormat:
    """``bits`` is 4 or 8; ``block`` weights along the input axis share a scale."""

    bits: int
    block: int
    symmetric: bool = True

    @property
    def levels(self) -> int:
        """Number of codes."""
        return 1 << self.bits

    @property
    def middle(self) -> int:
        """The implied zero point of symmetric weights."""
        return 1 << (self.bits - 1)

    def blocks(self, k: int) -> int:
        """Blocks in a row of ``k`` weights; the last may be partly padding."""
        return -(-k // self.block)

    def blob_bytes(self) -> int:
        """Bytes of one packed block."""
        return self.block * self.bits // 8

    def zero_point_bytes(self, k: int) -> int:
        """Bytes of a row's zero points."""
        return -(-self.blocks(k) * self.bits // 8)


@dataclass(frozen=True, eq=False)
class QuantizedRows:
    """Some rows of a quantized weight, laid out as the module's docstring says."""

    packed: U8
    scales: F32
    zero_points: U8 | None


def quantize_rows(weight: F32, fmt: BlockFormat) -> QuantizedRows:
    """Quantize rows [n, k] to the nearest code. Rows are independent of each other.

    A symmetric scale is the block's extreme value (the one farther from 0, with its sign) over
    -2^(bits-1): the extreme is exact and all codes are used, which on average is finer than
    |max| / (2^(bits-1) - 1).

    Raises:
        ValueError: a weight is not finite.
    """
    return QuantizedRows(
        *quantize_nearest(
            np.ascontiguousarray(weight),
            bits=fmt.bits,
            block=fmt.block,
            symmetric=fmt.symmetric,
            threads=usable_cores(),
        )
    )


def dequantize_rows(rows: QuantizedRows, fmt: BlockFormat, k: int) -> F32:
    """The float32 rows [n, k] that the codes stand for."""
    n, blocks, _ = rows.packed.shape
    codes = _unpack(rows.packed, fmt.bits).astype(np.float32)
    if rows.zero_points is None:
        codes -= fmt.middle
    else:
        codes -= _unpack(rows.zero_points, fmt.bits)[:, :blocks, None]
    codes *= rows.scales.reshape(n, blocks, 1)
    values: F32 = codes.reshape(n, -1)[:, :k]
    return values


def quantize_table_rows(rows: F32) -> tuple[npt.NDArray[np.int8], F32]:
    """Embedding rows [n, width] as int8 [n, width] and one scale per row [n]: value = q * scale."""
    scales = (np.abs(rows).max(axis=1) / np.float32(127)).astype(np.float32)
    codes = np.rint(rows * _reciprocal(scales)[:, None]).astype(np.int8)
    return codes, scales


def _reciprocal(scales: F32) -> F32:
    """1 / scales, with 0 where the block is all zeros (or too small to have a reciprocal)."""
    usable = np.abs(scales) >= np.finfo(np.float32).tiny
    inverse: F32 = np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=usable)
    return inverse


def _unpack(packed: U8, bits: int) -> U8:
    if bits == 8:
        return packed
    out = np.empty((*packed.shape[:-1], packed.shape[-1] * 2), dtype=np.uint8)
    out[..., 0::2] = packed & 0x0F
    out[..., 1::2] = packed >> 4
    return out
