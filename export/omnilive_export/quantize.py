"""Round-to-nearest block quantization in the packing of ONNX Runtime's MatMulNBits.

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
    """
    blocked = _blocked(weight, fmt)
    top = blocked.max(axis=-1)
    bottom = blocked.min(axis=-1)
    if fmt.symmetric:
        extreme = np.where(top > -bottom, top, bottom)
        scales = (extreme / np.float32(-fmt.middle)).astype(np.float32)
        zeros = None
        offset: F32 = np.full((1, 1, 1), fmt.middle, dtype=np.float32)
    else:
        top = np.maximum(top, 0)
        bottom = np.minimum(bottom, 0)
        scales = ((top - bottom) / np.float32(fmt.levels - 1)).astype(np.float32)
        zeros = np.rint(-bottom * _reciprocal(scales)).clip(0, fmt.levels - 1)
        offset = zeros[..., None].astype(np.float32)
    codes = blocked * _reciprocal(scales)[..., None]
    np.rint(codes, out=codes)
    codes += offset
    np.clip(codes, 0, fmt.levels - 1, out=codes)
    packed = _pack(codes.astype(np.uint8), fmt.bits)
    zero_points = None if zeros is None else _pack_zero_points(zeros.astype(np.uint8), fmt.bits)
    return QuantizedRows(packed, scales, zero_points)


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


def _blocked(weight: F32, fmt: BlockFormat) -> F32:
    """Rows cut into blocks [n, blocks, block], padded with zeros at the end."""
    n, k = weight.shape
    blocks = fmt.blocks(k)
    if blocks * fmt.block != k:
        padded = np.zeros((n, blocks * fmt.block), dtype=np.float32)
        padded[:, :k] = weight
        weight = padded
    return weight.reshape(n, blocks, fmt.block)


def _reciprocal(scales: F32) -> F32:
    """1 / scales, with 0 where the block is all zeros (or too small to have a reciprocal)."""
    usable = np.abs(scales) >= np.finfo(np.float32).tiny
    inverse: F32 = np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=usable)
    return inverse


def _pack(codes: U8, bits: int) -> U8:
    if bits == 8:
        return codes
    packed: U8 = codes[..., 0::2] | (codes[..., 1::2] << np.uint8(4))
    return packed


def _unpack(packed: U8, bits: int) -> U8:
    if bits == 8:
        return packed
    out = np.empty((*packed.shape[:-1], packed.shape[-1] * 2), dtype=np.uint8)
    out[..., 0::2] = packed & 0x0F
    out[..., 1::2] = packed >> 4
    return out


def _pack_zero_points(zeros: U8, bits: int) -> U8:
    """Zero points [n, blocks] packed along the row, the odd one out padded with 0."""
    if bits == 4 and zeros.shape[1] % 2:
        zeros = np.pad(zeros, ((0, 0), (0, 1)))
    return _pack(zeros, bits)
