"""Hands what TensorRT says to whoever asked it, for builders and runtimes alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorrt as trt

Log = Callable[[str], None]


def forwarding_logger(log: Log) -> trt.ILogger:
    """A logger of TensorRT that gives warnings and errors to ``log``."""
    import tensorrt as trt

    class Forward(trt.ILogger):
        """Hands warnings and errors on; TensorRT itself would print them."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                log(msg)

    return Forward()
