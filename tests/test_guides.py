"""The commands of docs/your-own-problems.md run one after the other, with a scripted policy in the model's place."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "your-own-problems.md"
SCRIPTED = [sys.executable, "-m", "tests.fakes.annotate"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def lines() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def started(words: list[str]) -> list[str]:
    """The words of a command, bin/annotate's with the scripted policy."""
    command, *arguments = words
    return [*SCRIPTED, *arguments] if command == "bin/annotate" else [str(ROOT / command), *arguments]


def folder_with_problems(folder: Path) -> Path:
    rows = [{"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n} for n in range(10)]
    (folder / "my" / "policy").mkdir(parents=True)
    (folder / "my" / "seeds.json").write_text(json.dumps(rows))
    (folder / "my" / "policy" / "config.json").write_text("{}")
    (folder / "my" / "policy" / "model.safetensors").write_bytes(b"weights")
    return folder


def test_the_commands_for_ones_own_problems_run_in_their_order(tmp_path: Path) -> None:
    folder = folder_with_problems(tmp_path)
    for words in lines():
        if words[0] == "bin/view":
            assert (folder / words[1]).is_dir(), "the viewer's own tests open such a store"
            continue
        ended = subprocess.run(
            started(words), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, (words, ended.stderr)
    assert (folder / "runs" / "rows" / "train.jsonl").read_text()
    assert json.loads((folder / "runs" / "rows" / "counts.json").read_text())
