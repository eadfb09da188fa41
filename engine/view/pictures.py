"""An image of a problem as bytes: only from inside its image root, and only what decodes as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from omegaprm.engine import images
from omegaprm.engine.images import ImageError
from omegaprm.engine.records import Problem


class Picture(NamedTuple):
    """The bytes of an image file and their media type."""

    content: bytes
    media_type: str


def picture(problem: Problem, index: int, image_root: str | None) -> Picture:
    """The problem's image with this index. ImageError where there is none, or where it leaves the image root."""
    if not 0 <= index < len(problem.image_paths):
        raise ImageError(f"image {index}: the problem has {len(problem.image_paths)}")
    path = images.resolve(Path(image_root or problem.image_root), problem.image_paths[index])
    try:
        if path.stat().st_size > images.MAX_FILE_BYTES:
            raise ImageError(f"{problem.image_paths[index]}: must have at most {images.MAX_FILE_BYTES} bytes")
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=images.FORMATS) as opened:
            return Picture(content, images.MEDIA_TYPES[opened.format or ""])
    except (UnidentifiedImageError, KeyError) as error:
        raise ImageError(f"{problem.image_paths[index]}: is no image in one of {', '.join(images.FORMATS)}") from error
    except (OSError, Image.DecompressionBombError) as error:
        raise ImageError(f"{problem.image_paths[index]}: cannot be read: {error}") from error
