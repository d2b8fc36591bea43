"""Images as arrays: the one place that decodes files and resizes."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any, Literal

from tasks.errors import TaskError, require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""What an image may be: Pillow tries all that it knows otherwise, and hands PostScript to another program."""

Mode = Literal["L", "RGB"]


def pixels(image: bytes | NDArray[Any], mode: Mode, place: str, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """uint8 ``[H, W]`` (``L``) or ``[H, W, 3]`` (``RGB``) of an image file's bytes, or of pixels that are decoded already.

    ``size`` is (H, W) to resample to, bilinearly with the support of an area (antialiased).

    Raises:
        TaskError: it does not decode; the line begins with ``place``.
        MissingDependency: Pillow is not installed.
    """
    if not isinstance(image, bytes) and image.shape == (*(size or image.shape[:2]), *((3,) if mode == "RGB" else ())):
        return image
    require(("PIL",), f"{place}: an image")
    import numpy as np
    from PIL import Image

    try:
        opened = Image.open(io.BytesIO(image), formats=FORMATS) if isinstance(image, bytes) else Image.fromarray(image)
        opened = opened.convert(mode)
        if size is not None and opened.size != size[::-1]:
            opened = opened.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(opened)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        raise TaskError(f"{place}: the image does not decode: {' '.join(str(error).split())}") from error
