"""Quantizes a pack's weights tensor by tensor, each with the method of its format.

It holds what the methods need besides the weights: activation statistics, and the tensors kept for
a killed build. It never chooses a format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from omnilive.errors import CheckpointError
from omnilive_export.precision import CALIBRATED, RTN, LinearFormat
from omnilive_export.quantize import F32, QuantizedRows
from omnilive_export.quantizing.kept import KeptTensors, tensor_bytes
from omnilive_export.quantizing.methods import block_format, quantize_with
from omnilive_export.quantizing.moments import Calibration
from omnilive_export.reading.row_source import RowSource, row_blocks

U8 = npt.NDArray[np.uint8]


class BlockQuantizer:
    """The quantizer of one pack.

    Args:
        calibration: statistics of the inputs; only the calibrated method needs them.
        kept: the tensors kept for a killed build; without it nothing is kept.
    """

    def __init__(
        self,
        calibration: Calibration | None = None,
        kept: KeptTensors | None = None,
    ) -> None:
        self._calibration = calibration
        self._kept = kept
        self._planned_bytes = 0

    def bytes_to_keep(self) -> int:
        """Disk that is still needed to keep what was planned so far."""
        return 0 if self._kept is None else max(0, self._planned_bytes - self._kept.nbytes)

    def plan(self, weight: RowSource, fmt: LinearFormat, name: str) -> QuantizedWeight:
        """Plan to quantize ``weight`` [out, in], called ``name``: ENGINE/WEIGHT.

        Raises:
            ConfigError: the method needs statistics that there are none of.
        """
        shape = (weight.shape[0], weight.shape[1])
        if fmt.method == CALIBRATED:
            if self._calibration is None:
                raise ValueError(f"{name} is to be calibrated, without statistics")
            self._calibration.check(name, weight.shape[1])
        if fmt.method != RTN:
            self._planned_bytes += tensor_bytes(shape, block_format(fmt))
        return QuantizedWeight(shape, lambda: self._rows(weight, fmt, name))

    def _rows(self, weight: RowSource, fmt: LinearFormat, name: str) -> Iterator[QuantizedRows]:
        if fmt.method == RTN or self._kept is None:
            yield from (rows for _, rows in self._quantized(weight, fmt, name))
            return
        found = self._kept.find(name, weight, block_format(fmt))
        if found is not None:
            yield from found
            return
        writer = self._kept.writer(name)
        try:
            for source, rows in self._quantized(weight, fmt, name):
                writer.add(source.data.cast("B"), rows)
                yield rows
            writer.finish()
        finally:
            writer.close()

    def _quantized(
        self, weight: RowSource, fmt: LinearFormat, name: str
    ) -> Iterator[tuple[F32, QuantizedRows]]:
        factors = None
        if fmt.method == CALIBRATED and self._calibration is not None:
            factors = self._calibration.factors(name)
        for start, stop in row_blocks(weight.shape):
            rows = np.ascontiguousarray(weight.rows(start, stop))
            try:
                quantized = quantize_with(rows, fmt, factors)
            except ValueError as e:
                raise CheckpointError(
                    f"cannot be quantized: {e}",
                    where=f"weight {name}, rows {start} to {stop}",
                    mend="The checkpoint is damaged: download it again.",
                ) from e
            yield rows, quantized


class QuantizedWeight:
    """One pass over a weight that gives its codes first and its scales after them.

    The three streams are written one after another, so scales and zero points (a small fraction
    of the weight) wait here until the codes are out.
    """

    def __init__(self, shape: tuple[int, int], rows: Callable[[], Iterator[QuantizedRows]]) -> None:
        self.shape = shape
        self._rows = rows
        self._scales: list[F32] = []
        self._zeros: list[U8] = []

    def packed(self) -> Iterator[U8]:
        """Codes, row block by row block."""
        for rows in self._rows():
            self._scales.append(rows.scales)
            if rows.zero_points is not None:
                self._zeros.append(rows.zero_points)
            yield rows.packed

    def scales(self) -> Iterator[F32]:
        """Scales of the codes already given."""
        yield from self._scales
        self._scales.clear()

    def zero_points(self) -> Iterator[U8]:
        """Zero points of the codes already given."""
        yield from self._zeros
        self._zeros.clear()
