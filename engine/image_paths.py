"""One rule for every image path of seeds, rows, candidates, trees and benchmarks: the file lies inside the image root.

A relative path starts from the root, an absolute one names its file itself; links are followed before the rule applies.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from omegaprm.engine.foreign import is_unicode

ROOT_FLAG = "--image-root"
"""The flag of most commands that names the image root."""
SHOWN_CHARACTERS = 200
"""Longer paths are cut in messages: some files hold a whole image in place of its path."""


class ImageError(ValueError):
    """An image that cannot be used; the message names the file and the rule it breaks."""


def resolve(root: Path, name: str, flag: str = ROOT_FLAG) -> Path:
    """The regular file that a path names, absolute and without links.

    ImageError where it lies outside root, is missing, or is not a regular file. flag: what sets the root.
    """
    path = _located(root, name, flag)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        missing = f"{_shown(name)} cannot be opened in the image root {_shown(root)}: {error.strerror}"
        raise ImageError(f"{missing}. {flag} FOLDER sets the folder that image paths start from.") from error
    if not stat.S_ISREG(mode):
        raise ImageError(f"{_shown(name)} must be a regular file")
    return path


def relative(root: Path, name: str, flag: str = ROOT_FLAG) -> str:
    """A path as it is stored: a relative one as it is written, an absolute one relative to root.

    So the same images have the same names wherever the root lies. The file need not be there. ImageError outside root.
    """
    path = _located(root, name, flag)
    stored = str(path.relative_to(root.resolve())) if os.path.isabs(name) else name
    if not is_unicode(stored):
        raise ImageError(f"{_shown(name)} leads to {_shown(stored)}, whose name must be valid UTF-8")
    return stored


def _located(root: Path, name: str, flag: str) -> Path:
    """Where a path leads, there or not. ImageError outside root."""
    try:
        base = root.resolve()
        path = (base / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ImageError(f"{_shown(name)} cannot be opened in the image root {_shown(root)}: {reason}") from error
    if path.is_relative_to(base):
        return path
    leads = "" if str(path) == name else f" leads to {_shown(path)}, which"
    raise ImageError(
        f"{_shown(name)}{leads} is outside the image root {_shown(root)}. An image must lie inside it, links "
        f"followed. Give {flag} FOLDER, a folder that contains the images."
    )


def _shown(path: str | Path) -> str:
    """A path in quotes, without characters that would steer a terminal."""
    text = repr(str(path))
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"
