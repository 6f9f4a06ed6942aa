"""Pictures of clients: JPEG bytes to upright RGB, within limits. Runs off the event loop."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from omnilive.service.faults import ProtocolError

SCAN = b"\xff\xda"
MOST_SCANS = 64
"""A progressive JPEG comes in some ten scans; each costs a pass over the whole picture, and a small
file may hold thousands."""

FORMATS = ("JPEG",)
"""What is read: the other decoders of the library stay out of a client's reach."""


def decode_picture(data: bytes, most_pixels: int) -> npt.NDArray[np.uint8]:
    """RGB uint8 [height, width, 3], turned upright as its EXIF orientation says.

    Raises:
        ProtocolError: ``bad_picture`` for what is no whole JPEG, has more pixels than
            ``most_pixels``, found out from its header, or more scans than any camera writes.
    """
    if data.count(SCAN) > MOST_SCANS:
        raise ProtocolError("bad_picture", "a picture of too many scans")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > most_pixels:
                    raise ProtocolError(
                        "bad_picture", f"a picture of {image.width}x{image.height} pixels"
                    )
                upright = ImageOps.exif_transpose(image.convert("RGB"))
    except ProtocolError:
        raise
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as e:
        raise ProtocolError("bad_picture", "a picture is no whole JPEG") from e
    return np.asarray(upright, dtype=np.uint8)
