"""Keeps decoded images of the problems under way, bounded in bytes; safe to use from several threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from PIL import Image

from omegaprm.engine.images import load

CACHE_BYTES = 256 << 20
"""Decoded pixels kept at the most; a tree asks for its own image again with every estimate."""


class PictureCache:
    """Images by path, least recently used out first."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held = 0
        self._images: OrderedDict[Path, Image.Image] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path) -> Image.Image:
        """The decoded image; ImageError as images.load."""
        with self._lock:
            if path in self._images:
                self._images.move_to_end(path)
                return self._images[path]
        image = load(path)
        with self._lock:
            self._keep(path, image)
        return image

    def _keep(self, path: Path, image: Image.Image) -> None:
        if path in self._images:
            return
        self._images[path] = image
        self._held += _num_bytes(image)
        while self._held > self._max_bytes:
            _, dropped = self._images.popitem(last=False)
            self._held -= _num_bytes(dropped)


def _num_bytes(image: Image.Image) -> int:
    return int(image.width * image.height * 3)
