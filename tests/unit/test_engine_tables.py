"""Embedding tables: rows as float32, whatever they are stored as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.engine.manifest import FileRecord, TableInfo
from omnilive.engine.tables import MappedTable, table_file_bytes
from omnilive.errors import EngineError, PackError

ROWS, WIDTH = 7, 5


def write(folder: Path, dtype: str) -> tuple[MappedTable, np.ndarray]:
    """A table of ``dtype`` and the float32 rows it stands for."""
    rng = np.random.default_rng(0)
    scales = None
    if dtype == "int8":
        data = rng.integers(-127, 128, (ROWS, WIDTH), dtype=np.int8)
        factors = rng.uniform(0.01, 1, ROWS).astype("<f4")
        (folder / "s.bin").write_bytes(factors.tobytes())
        scales = FileRecord("s.bin", 4 * ROWS, "")
        expected = data.astype(np.float32) * factors[:, None]
    else:
        data = rng.standard_normal((ROWS, WIDTH)).astype(dtype)
        expected = data.astype(np.float32)
    (folder / "t.bin").write_bytes(data.tobytes())
    info = TableInfo("t", FileRecord("t.bin", data.nbytes, ""), dtype, ROWS, WIDTH, scales)
    assert table_file_bytes(info) == data.nbytes
    return MappedTable(info, folder), expected


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_rows_come_as_float32_in_the_order_asked(tmp_path: Path, dtype: str) -> None:
    table, expected = write(tmp_path, dtype)
    rows = table.rows([6, 0, 0, 3])
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected[[6, 0, 0, 3]])


def test_rows_are_the_callers_own(tmp_path: Path) -> None:
    table, expected = write(tmp_path, "float32")
    table.rows([1])[:] = 0
    np.testing.assert_array_equal(table.rows([1])[0], expected[1])


def test_no_ids_give_no_rows(tmp_path: Path) -> None:
    assert write(tmp_path, "float32")[0].rows([]).shape == (0, WIDTH)


@given(odd=st.one_of(st.integers(ROWS, 1 << 40), st.integers(-(1 << 40), -1)))
@settings(max_examples=30)
def test_an_id_outside_the_table_is_refused(
    tmp_path_factory: pytest.TempPathFactory, odd: int
) -> None:
    table, _ = write(tmp_path_factory.mktemp("t"), "int8")
    with pytest.raises(EngineError, match=f"no row {odd}"):
        table.rows([0, odd])


@pytest.mark.parametrize("ids", [[0.5], [[0, 1]], ["a"]])
def test_ids_that_are_no_list_of_integers_are_refused(tmp_path: Path, ids: list[object]) -> None:
    table, _ = write(tmp_path, "float32")
    with pytest.raises(EngineError, match="list of integer ids"):
        table.rows(ids)  # type: ignore[arg-type]


def test_a_file_shorter_than_the_table_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "float32")
    info = TableInfo("t", FileRecord("t.bin", 0, ""), "float32", ROWS + 1, WIDTH)
    with pytest.raises(PackError, match="cannot be mapped"):
        MappedTable(info, tmp_path)
