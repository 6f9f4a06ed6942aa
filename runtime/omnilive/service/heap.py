"""How this process takes memory from glibc, and gives it back. With another C library, nothing.

A KV arena is megabytes of zeros, of which the system gives a page when a token reaches it. That
holds only while glibc maps each such block by itself. By default it stops doing so once one has
been freed: the next one lies in a heap, is cleared to its end and stays resident when freed.
"""

from __future__ import annotations

import ctypes

LARGE_BYTES = 128 * 1024
"""Blocks from this size on are mapped by themselves and given back when freed: where glibc begins,
before it moves the limit up to 32 MiB by what it sees freed."""

_M_MMAP_THRESHOLD = -3
"""``malloc.h`` of glibc."""


def map_large_blocks() -> bool:
    """Map every large block by itself, from now on; call it before anything large is allocated.

    Returns:
        Whether this C library does.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) == 1


def give_back() -> bool:
    """Give pages that hold nothing back to the system; the threads' heaps keep them otherwise.

    Releases the GIL. It takes milliseconds, in which other threads may wait for memory.

    Returns:
        Whether this C library can.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(ctypes.c_size_t(0))
    return True
