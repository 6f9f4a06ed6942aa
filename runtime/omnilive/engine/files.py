"""Checks that a pack's files are the ones its manifest records.

Reads sizes and bytes; it never interprets a file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from omnilive.engine.manifest import REBUILD, FileRecord
from omnilive.errors import PackError

_BLOCK_BYTES = 1 << 20


def check_files(files: Iterable[FileRecord], folder: Path, *, verify_hashes: bool) -> None:
    """Hold every file under ``folder`` against its record, hashing in parallel.

    Raises:
        PackError: a file is missing, of another size, or (with ``verify_hashes``) other bytes.
    """
    records = sorted(set(files), key=lambda f: f.path)
    for record in records:
        _check_size(record, folder)
    if not verify_hashes:
        return
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        # Largest first, so that one big weight file does not start last and alone.
        order = sorted(records, key=lambda f: -f.bytes)
        for record, digest in zip(
            order, pool.map(lambda f: sha256_of(folder / f.path), order), strict=True
        ):
            if digest != record.sha256:
                raise _mismatch(
                    f"has sha256 {digest[:12]}…, the manifest records {record.sha256[:12]}…",
                    record,
                    folder,
                )


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in blocks.

    Raises:
        PackError: the file cannot be read.
    """
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_BLOCK_BYTES))
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
    except OSError as e:
        raise PackError(
            f"cannot be read ({e.strerror or e})",
            where=str(path),
            mend="Check its permissions and the disk.",
        ) from e
    return digest.hexdigest()


def _check_size(record: FileRecord, folder: Path) -> None:
    try:
        size = (folder / record.path).stat().st_size
    except OSError as e:
        raise _mismatch("is missing", record, folder) from e
    if size != record.bytes:
        raise _mismatch(f"has {size} bytes, the manifest records {record.bytes}", record, folder)


def _mismatch(what: str, record: FileRecord, folder: Path) -> PackError:
    return PackError(what, where=str(folder / record.path), mend=REBUILD.format(pack=folder))
