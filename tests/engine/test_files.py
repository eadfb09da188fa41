from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from omegaprm.engine.errors import StoreFailed
from omegaprm.engine.files import require_writable, write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    require_writable(path, "--out")
    assert path.read_text() == "old"
    write_whole(path, b"new")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("out.json", "new")]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_never_replaced(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    make(path)
    kind = path.lstat().st_mode
    with pytest.raises(StoreFailed, match=r"--out .*out\.json: is there and is no regular file"):
        require_writable(path, "--out")
    with pytest.raises(StoreFailed, match="no regular file"):
        write_whole(path, b"new")
    assert path.lstat().st_mode == kind
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFailed, match="No space left"):
        write_whole(path, b"new")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("out.json", "old")]
