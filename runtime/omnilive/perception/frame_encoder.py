"""Turns a frame into the features memory is made of. It keeps nothing of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive._native import resize_rgb
from omnilive.engine.interface import F32
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
        square = resize_rgb(rgb, self._pixels, self._pixels)
        outputs = self._pack.engine("mem_vit").run({"frames": square[None]})
        return FrameFeatures(outputs["features"][0], outputs["cls"][0])
