"""Opens images safely: never half an image, never a decompression bomb; image_paths says which may be opened."""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from omegaprm.engine.image_paths import ImageError, resolve

__all__ = ["ImageError", "as_rgb", "check", "data_url", "load", "resolve"]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""Formats that are decoded at all; of an animation the first frame counts."""
MAX_PIXELS = 64_000_000
"""Pixels of one image at the most: 8,000 x 8,000, 192 MB once decoded."""
MAX_FILE_BYTES = 256 << 20
"""Bytes of one image file at the most."""

MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
}
"""By what Pillow calls the content: an MPO is a JPEG with more pictures after its first one."""

_SENT_FORMATS = ("PNG", "JPEG", "MPO", "WEBP")
"""What every endpoint reads; files in the others are sent as PNG."""
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def check(path: Path) -> str:
    """SHA-256 in hex of an image file that decodes whole; ImageError for any other file."""
    digest = hashlib.sha256(_read(path)).hexdigest()
    load(path)
    return digest


def load(path: Path) -> Image.Image:
    """The first frame as 8-bit RGB, upright by its EXIF tag; transparency on white, 16 bits scaled to 8.

    ImageError where the file is none of FORMATS, too large, truncated or damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=FORMATS) as image:
                _bound(path, image)
                image.load()
                return as_rgb(image)
        except UnidentifiedImageError as error:
            raise ImageError(f"{path}: must be an image in one of {', '.join(FORMATS)}") from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ImageError(f"{path}: must have at most {MAX_PIXELS} pixels: {error}") from error
        except ImageError:
            raise
        except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
            raise ImageError(f"{path}: truncated or damaged: {_reason(error)}") from error


def data_url(path: Path) -> str:
    """An image file as a data URL whose media type is the content's, for models that are asked over HTTP.

    The file's own bytes where any decoder shows what load() gives; otherwise that picture as PNG. ImageError.
    """
    content = _read(path)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if _decodes_alike(image):
                return _url(MEDIA_TYPES[image.format or ""], content)
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        pass  # load() below refuses the file with its reason.
    picture = io.BytesIO()
    load(path).save(picture, "PNG")
    return _url(MEDIA_TYPES["PNG"], picture.getvalue())


def _decodes_alike(image: Image.Image) -> bool:
    """Whether every decoder shows the same: 8 bits, opaque, upright by itself, one picture."""
    if image.format not in _SENT_FORMATS or image.mode not in ("RGB", "L", "P", "1") or image.has_transparency_data:
        return False
    is_upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    return is_upright and (image.format == "MPO" or getattr(image, "n_frames", 1) == 1)


def _url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError(f"{path}: must be a regular file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"{path}: must have at most {MAX_FILE_BYTES} bytes, has {path.stat().st_size}")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {_reason(error)}") from error


def _bound(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{path}: must have at most {MAX_PIXELS} pixels, has {width} x {height}")
    if not width or not height:
        raise ImageError(f"{path}: must have at least one pixel")


def as_rgb(image: Image.Image) -> Image.Image:
    """An opened image as load() gives it, for all who show one to a model: what the policy saw the PRM sees, too."""
    image = ImageOps.exif_transpose(image)
    if image.mode in _DEEP_MODES:
        return _eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Levels of 16 bits (PNG) to 8: by the format's own range, not by what this picture uses of it."""
    levels = np.asarray(image, dtype=np.float64)
    scaled = levels / 257 if image.mode != "F" else levels
    return Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8))


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
