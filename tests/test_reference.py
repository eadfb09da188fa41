"""docs/reference.md is complete and quickly made, and shells complete the flags that it names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import make_reference

ROOT = Path(__file__).resolve().parents[1]
COMPLETE = """
source "$1"
function=$(complete -p "$2" | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=("$2" "$3") COMP_CWORD=1
"$function"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_the_reference_has_every_command_and_a_sentence_for_every_flag() -> None:
    text = make_reference.PAGE.read_text()
    assert re.findall(r"^### bin/(\S+)$", text, re.MULTILINE) == make_reference.commands()
    assert re.findall(r"^\| `-.*\|  \|$", text, re.MULTILINE) == []


def test_the_reference_is_made_without_heavy_imports() -> None:
    program = "import sys; from docs import make_reference; make_reference.page(); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "vllm", "transformers", "matplotlib"} & set(shown.stdout.split())


@pytest.mark.parametrize(
    ("command", "begun", "completed"),
    [("annotate", "--num-r", "--num-rollouts"), ("export", "--mask", "--mask-unestimated")],
)
def test_bash_completes_the_flags_of_a_command(command: str, begun: str, completed: str, tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    made = subprocess.run(
        [str(ROOT / "bin" / command), "--tyro-print-completion", "bash"], capture_output=True, text=True, check=True
    )
    script.write_text(made.stdout)
    words = ["bash", "--norc", "-c", COMPLETE, "bash", str(script), f"bin/{command}", begun]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert completed in shown.stdout.split(), shown.stderr


def test_another_shell_is_refused_with_a_sentence() -> None:
    words = [str(ROOT / "bin" / "export"), "--tyro-print-completion", "tcsh"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.strip()) == (
        64,
        "error: --tyro-print-completion tcsh: must be one of bash, zsh, fish",
    )
