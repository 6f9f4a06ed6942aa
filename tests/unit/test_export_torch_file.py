from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.errors import CheckpointError
from omnilive_export.reading.tensor_store import TensorStore
from omnilive_export.reading.torch_file import TorchFile
from torch_files import dictionary, tensor, text, write_archive, write_torch_file

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_tensors_of_every_readable_width_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    write_torch_file(path, {"a": VALUES, "h": VALUES.astype(np.float16), "i": np.arange(5)})
    file = TorchFile(path)
    assert {name: (e.dtype, e.shape) for name, e in file.entries.items()} == {
        "a": ("F32", (3, 4)),
        "h": ("F16", (3, 4)),
        "i": ("I64", (5,)),
    }
    np.testing.assert_array_equal(file.rows("a", 1, 3), VALUES[1:])
    np.testing.assert_array_equal(file.rows("h", 0, 3), VALUES)
    file.close()


def test_tensors_that_share_a_storage_are_read_at_their_offsets(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    views = {
        "whole": tensor("FloatStorage", "0", 12, (3, 4), (4, 1)),
        "last": tensor("FloatStorage", "0", 12, (1, 4), (9, 1), offset=8),
    }
    write_archive(path, dictionary(views), {"0": VALUES.tobytes()})
    file = TorchFile(path)
    np.testing.assert_array_equal(file.rows("last", 0, 1), VALUES[2:])
    np.testing.assert_array_equal(file.rows("whole", 0, 3), VALUES)
    file.close()


def test_shards_are_found_by_the_index_of_a_bin_and_safetensors_are_preferred(
    tmp_path: Path,
) -> None:
    write_torch_file(tmp_path / "one.bin", {"a": VALUES})
    write_torch_file(tmp_path / "two.bin", {"b": VALUES + 1})
    index = {"weight_map": {"a": "one.bin", "b": "two.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    store = TensorStore(tmp_path)
    np.testing.assert_array_equal(store.tensor("b", (3, 4), why="").rows(0, 3), VALUES + 1)
    assert len(store.files) == 3
    store.close()
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is empty"):
        TensorStore(tmp_path)


def strange(path: Path, entry: bytes, *, data: bytes = VALUES.tobytes()) -> None:
    write_archive(path, dictionary({"a": entry}), {"0": data})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (text("no tensor"), "something else than a tensor under 'a'"),
        (tensor("FloatStorage", "0", 12, (4, 3), (1, 4)), "tensor a transposed or strided"),
        (tensor("FloatStorage", "0", 12, (3, 4), (4, 1), offset=1), "past the end of its storage"),
        (tensor("FloatStorage", "0", 99, (3, 4), (4, 1)), "truncated at its storage '0'"),
        (tensor("FloatStorage", "7", 12, (3, 4), (4, 1)), "lacks its storage '7'"),
        (tensor("FloatStorage", "0", 12, (-3, -4), (4, 1)), "damaged pickle"),
        (tensor("ComplexFloatStorage", "0", 12, (3, 4), (4, 1)), "torch.ComplexFloatStorage"),
        (b"cbuiltins\neval\n(" + text("1 + 1") + b"tR", "asks for builtins.eval"),
        (b"(" + text("1 + 1") + b"ibuiltins\neval\n", "asks for opcode INST"),
        (b"\x96" + bytes([255] * 7) + b"\x00", "asks for opcode BYTEARRAY8|damaged pickle"),
        (b"Nr\xff\xff\xff\x0f", "damaged pickle"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)R", "damaged pickle"),
    ],
)
def test_anything_but_a_plain_tensor_is_refused_by_name(
    tmp_path: Path, entry: bytes, said: str
) -> None:
    path = tmp_path / "x.bin"
    strange(path, entry)
    with pytest.raises(CheckpointError, match=said) as raised:
        TorchFile(path)
    assert raised.value.where == str(path)


def test_a_pickle_that_would_run_a_program_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "x.bin"
    strange(path, b"cos\nsystem\n(" + text(f"touch {trace}") + b"tR")
    with pytest.raises(CheckpointError, match=r"asks for os\.system"):
        TorchFile(path)
    assert not trace.exists()


def test_archives_that_cannot_be_mapped_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    entry = dictionary({"a": tensor("FloatStorage", "0", 12, (3, 4), (4, 1))})
    storages = {"0": VALUES.tobytes()}
    write_archive(path, entry, storages, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        TorchFile(path)
    write_archive(path, entry, storages, byteorder=b"big")
    with pytest.raises(CheckpointError, match="big-endian"):
        TorchFile(path)
    path.write_bytes(b"\x80\x02 an older format")
    with pytest.raises(CheckpointError, match=r"older than torch 1\.6"):
        TorchFile(path)
    write_archive(path, b"\x80\x02K\x05.", {})
    with pytest.raises(CheckpointError, match="no dictionary of tensors"):
        TorchFile(path)


EDITS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6)


def edited(data: bytes, edits: list[tuple[int, int]]) -> bytes:
    changed = bytearray(data)
    for at, value in edits:
        changed[at % len(changed)] = value
    return bytes(changed)


def opens_within_itself_or_is_refused(path: Path) -> None:
    try:
        file = TorchFile(path)
    except CheckpointError as e:
        assert e.where == str(path)
        return
    for entry in file.entries.values():
        assert 0 <= entry.start <= entry.start + entry.nbytes <= path.stat().st_size
    file.close()


@given(edits=EDITS, cut=st.integers(0, 200))
def test_a_damaged_archive_is_one_clear_error_or_lies_within_itself(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "x.bin"
    write_torch_file(path, {"a": VALUES, "b": VALUES[0]})
    data = edited(path.read_bytes(), edits)
    path.write_bytes(data[: len(data) - cut])
    opens_within_itself_or_is_refused(path)


@given(edits=EDITS)
def test_a_damaged_pickle_is_one_clear_error_or_lies_within_its_file(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("pickle") / "x.bin"
    views = {
        "a": tensor("FloatStorage", "0", 12, (3, 4), (4, 1)),
        "b": tensor("FloatStorage", "0", 12, (4,), (1,), offset=8),
    }
    # The archive's checksum is of the damaged pickle, so nothing but its reader can refuse it.
    write_archive(path, edited(dictionary(views), edits), {"0": VALUES.tobytes()})
    opens_within_itself_or_is_refused(path)
