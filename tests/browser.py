"""A headless browser for tests, where the machine has one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
VARIABLE = "OMEGAPRM_BROWSER"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
"""The first one because root may not use Chromium's sandbox; only pages of the tests' own are opened."""


def path() -> str | None:
    """The browser that OMEGAPRM_BROWSER names, or a Chromium on the PATH."""
    return os.environ.get(VARIABLE) or next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A started browser; skips the test where there is none."""
    found = path()
    if found is None:
        pytest.skip(f"no browser: install the system's chromium package, or name one in {VARIABLE}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS, timeout=120_000)
        try:
            yield started
        finally:
            started.close()
