"""Weight matrices of the ``tensorrt`` dialect: int4 blocks through DequantizeLinear, or floats.

Weights lie as [in, out], so that nothing stands between DequantizeLinear and MatMul and TensorRT
fuses the two. It never chooses a format.
"""

from __future__ import annotations

from collections.abc import Iterator

from omnilive_export.graphs.builder import Array, GraphBuilder, PlannedTensor
from omnilive_export.graphs.tensorrt_int4 import quantize_columns
from omnilive_export.graphs.transposed import column_bands, transposed
from omnilive_export.precision import INT4, LinearFormat
from omnilive_export.reading.row_source import RowSource, elements

BAND_ELEMENTS = 1 << 25
"""Values of a band quantized at once: 128 MiB as float32, and as much again for its codes."""


def takes_int4(shape: tuple[int, ...], fmt: LinearFormat) -> bool:
    """Whether a [out, in] weight of this format is stored as int4.

    Whole blocks and byte-wise pairs of outputs are what the operator allows; other matrices, and
    those of 8 bits, which TensorRT has no weight-only form of, are stored as floats.
    """
    n, k = shape
    return fmt.kind == INT4 and k % fmt.block == 0 and n % 2 == 0


def weight_value(
    b: GraphBuilder, weight: RowSource, fmt: LinearFormat, name: str, dtype: str
) -> str:
    """Plan ``weight`` [out, in]; returns the name of its values [in, out] of type ``dtype``."""
    n, k = weight.shape
    if not takes_int4(weight.shape, fmt):
        planned = PlannedTensor(
            name, dtype, (k, n), lambda: transposed(weight, dtype), elements(weight.shape)
        )
        return b.planned(planned)
    quantized = _Int4Weight(weight, fmt.block, dtype)
    codes = PlannedTensor(f"{name}.q", "int4", (k, n), quantized.codes, n * k)
    scales = PlannedTensor(f"{name}.scales", dtype, (k // fmt.block, n), quantized.scales, 0)
    inputs = [b.planned(codes), b.planned(scales)]
    return b.op("DequantizeLinear", inputs, f"{name}.values", axis=0, block_size=fmt.block)


class _Int4Weight:
    """One pass over a weight that gives its codes first and its scales after them."""

    def __init__(self, weight: RowSource, block: int, dtype: str) -> None:
        self._weight = weight
        self._block = block
        self._dtype = dtype
        self._scales: list[Array] = []

    def codes(self) -> Iterator[Array]:
        """Packed codes, band by band."""
        bands = column_bands(self._weight, band_elements=BAND_ELEMENTS, multiple=self._block)
        for band in bands:
            packed, scales = quantize_columns(band, self._block, self._dtype)
            self._scales.append(scales)
            yield packed

    def scales(self) -> Iterator[Array]:
        """Scales of the codes already given."""
        yield from self._scales
        self._scales.clear()
