"""Embedding tables of a pack: rows streamed from the checkpoint to raw little-endian files.

It never holds more than a block of rows. The runtime maps these files and gathers rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omnilive.engine.manifest import TableInfo
from omnilive_export.graphs.weight_file import Advance, HashedFile
from omnilive_export.precision import INT8
from omnilive_export.quantize import quantize_table_rows
from omnilive_export.reading.row_source import RowSource, elements, row_blocks

TABLE_FOLDER = "tables"

_SCALE_BYTES = 4


@dataclass(frozen=True)
class PlannedTable:
    """A table still to be written: ``rows`` [n, width] as ``fp32`` or ``int8``."""

    name: str
    rows: RowSource
    kind: str

    @property
    def cost(self) -> int:
        """Values read to write it."""
        return elements(self.rows.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its files."""
        if self.kind == INT8:
            return self.cost + _SCALE_BYTES * self.rows.shape[0]
        return 4 * self.cost


def write_table(table: PlannedTable, pack: Path, *, advance: Advance) -> TableInfo:
    """Write ``table`` under ``pack``/tables.

    Args:
        table: the plan.
        pack: folder of the pack being built.
        advance: called with the number of values of each block written.
    """
    folder = pack / TABLE_FOLDER
    folder.mkdir(exist_ok=True)
    count, width = table.rows.shape
    values = HashedFile(folder / f"{table.name}.bin")
    scales = HashedFile(folder / f"{table.name}.scales.bin") if table.kind == INT8 else None
    try:
        for start, stop in row_blocks(table.rows.shape):
            rows = table.rows.rows(start, stop)
            if scales is None:
                values.write(rows.astype("<f4", copy=False).tobytes())
            else:
                codes, row_scales = quantize_table_rows(rows)
                values.write(codes.tobytes())
                scales.write(row_scales.astype("<f4", copy=False).tobytes())
            advance((stop - start) * width)
    finally:
        values.close()
        if scales is not None:
            scales.close()
    return TableInfo(
        name=table.name,
        file=values.record(pack),
        dtype="int8" if scales is not None else "float32",
        rows=count,
        width=width,
        scales=None if scales is None else scales.record(pack),
    )
