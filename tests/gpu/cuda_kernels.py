"""Small CUDA kernels for tests, compiled on the device they run on."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

SOURCE = b"""
extern "C" __global__ void meet(
    volatile int* mine, volatile int* other, long long limit_ns, int* met)
{
    unsigned long long begin, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(begin));
    *mine = 1;
    __threadfence_system();
    do {
        if (*other) {
            *met = 1;
            return;
        }
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - begin < (unsigned long long)limit_ns);
    *met = 0;
}
"""
"""``meet`` waits, up to a limit, until the other one has begun: both meet only side by side."""


class Kernel:
    """``meet``, launched with one thread."""

    def __init__(self) -> None:
        """Compile it; the test is skipped where NVRTC is missing."""
        driver = pytest.importorskip("cuda.bindings.driver")
        nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
        from cuda.bindings import runtime

        # Makes the device's context, which the module is loaded into.
        _given(runtime.cudaFree(0))
        try:
            program = _given(nvrtc.nvrtcCreateProgram(SOURCE, b"meet.cu", 0, [], []))
        except RuntimeError as e:
            pytest.skip(f"NVRTC does not load: {e}")
        attributes = runtime.cudaDeviceAttr
        major, minor = (
            _given(runtime.cudaDeviceGetAttribute(attribute, 0))
            for attribute in (
                attributes.cudaDevAttrComputeCapabilityMajor,
                attributes.cudaDevAttrComputeCapabilityMinor,
            )
        )
        architecture = f"--gpu-architecture=sm_{major}{minor}".encode()
        _given(nvrtc.nvrtcCompileProgram(program, 1, [architecture]))
        code = b" " * _given(nvrtc.nvrtcGetCUBINSize(program))
        _given(nvrtc.nvrtcGetCUBIN(program, code))
        self._driver = driver
        self._code = np.frombuffer(code, np.uint8)
        self._module = _given(driver.cuModuleLoadData(self._code.ctypes.data))
        self._function = _given(driver.cuModuleGetFunction(self._module, b"meet"))

    def launch(self, stream: int, mine: int, other: int, limit_ns: int, met: int) -> None:
        """Give ``stream`` one run; the addresses are of int32 on the device."""
        types = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_longlong, ctypes.c_void_p)
        arguments = ((mine, other, limit_ns, met), types)
        _given(
            self._driver.cuLaunchKernel(
                self._function, 1, 1, 1, 1, 1, 1, 0, self._driver.CUstream(stream), arguments, 0
            )
        )


def _given(result: tuple[Any, ...]) -> Any:
    """The value of a call. Raises AssertionError when it failed."""
    assert int(result[0]) == 0, result[0]
    return result[1] if len(result) > 1 else None
