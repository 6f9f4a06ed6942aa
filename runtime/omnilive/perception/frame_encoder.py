"""Turns a frame into the features memory is made of. It keeps nothing of the frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive._native import NativeJob, OrtTensor, chain_jobs, resize_into, resize_rgb
from omnilive.engine.interface import F32, NativeEngine, NativeRun
from omnilive.engine.pack import EnginePack


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """What the memory ViT sees in one frame (spec §2.1).

    Attributes:
        features: float32 [grid², features], 2×2-mixed patch features.
        cls: float32 [cls], the CLS token of the same layer.
    """

    features: F32
    cls: F32


@dataclass(frozen=True, eq=False)
class NativeEncoding:
    """One frame resized and encoded without the interpreter, as ``lanes.Native`` is."""

    job: NativeJob
    run: NativeRun

    def error(self, cause: str) -> Exception:
        """The EngineError of a failure."""
        return self.run.error(cause)


@dataclass(frozen=True, eq=False)
class Encoding:
    """The encoding of one frame, which has not begun.

    Attributes:
        native: what has to run before ``features``; None with an engine that the native core
            cannot run.
        features: gives what the frame's features are, after the work that is not native; raises
            EngineError when the engine fails.
    """

    native: NativeEncoding | None
    features: Callable[[], FrameFeatures]


class FrameEncoder:
    """The memory ViT, one frame at a time."""

    def __init__(self, pack: EnginePack) -> None:
        self._pack = pack
        self._pixels = pack.manifest.memory.pixels

    def encode(self, rgb: npt.NDArray[np.uint8]) -> FrameFeatures:
        """Encode uint8 [h, w, 3]; the picture is squashed to the engine's square (spec §2.1).

        Raises:
            EngineError: the engine failed.
        """
        encoding = self.begin(rgb)
        if encoding.native is not None:
            try:
                encoding.native.job.run()
            except RuntimeError as e:
                raise encoding.native.error(str(e)) from e
        return encoding.features()

    def begin(self, rgb: npt.NDArray[np.uint8]) -> Encoding:
        """What ``encode`` does, to be run on a lane; ``rgb`` stays as it is until then."""
        engine = self._pack.engine("mem_vit")
        pixels = self._pixels
        if not isinstance(engine, NativeEngine):

            def features() -> FrameFeatures:
                square = resize_rgb(rgb, pixels, pixels)
                return _features(engine.run({"frames": square[None]}))

            return Encoding(None, features)
        square = OrtTensor("uint8", [1, pixels, pixels, 3])
        run = engine.native_run({"frames": square.array})
        resize = resize_into(np.ascontiguousarray(rgb), square)
        native = NativeEncoding(chain_jobs([resize, run.job]), run)
        return Encoding(native, lambda: _features(run.outputs()))


def _features(outputs: dict[str, F32]) -> FrameFeatures:
    return FrameFeatures(outputs["features"][0], outputs["cls"][0])
