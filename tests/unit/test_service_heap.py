"""Large blocks are mapped by themselves for as long as the service runs, whatever was freed."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from omnilive.service import heap

PROGRAM = """
import ctypes, sys
from omnilive.service.heap import give_back, map_large_blocks

class Heap(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.mallinfo2.restype = Heap

def mapped():
    return libc.mallinfo2().d  # hblks

if sys.argv[1] == "told":
    assert map_large_blocks()
libc.free(libc.malloc(16 << 20))
before = mapped()
block = libc.malloc(1 << 20)
print(mapped() - before)
libc.free(block)
assert give_back()
"""

counted = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="counts by glibc 2.33"
)


@counted
@pytest.mark.parametrize(("how", "mapped"), [("untold", "0"), ("told", "1")])
def test_a_block_is_mapped_by_itself_though_a_larger_one_was_freed(how: str, mapped: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == mapped


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert not heap.map_large_blocks()
    assert not heap.give_back()
