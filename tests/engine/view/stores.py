"""What the tests of the viewer look at: a store with everything in it, much of it hostile."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image

from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Problem, ProblemRecord
from tests.fakes.grown_store import grow_into, numbered
from tests.fakes.policy import ScriptedPolicy

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 2'>",
    "<svg onload='window.pwned = 3'><a xlink:href='javascript:window.pwned=4'>x</a></svg>",
    r"$\href{javascript:window.pwned=5}{x}$ $\text{<img src=x onerror='window.pwned=6'>}$",
    "</textarea></title></style><iframe srcdoc='<script>parent.pwned=7</script>'>",
    "\u202egnp.exe {{7*7}} ${7*7} &lt;b&gt;",
)
RULE = SearchRule(num_rollouts=8, max_searches=20, rollout_budget=120)


class HostilePolicy(ScriptedPolicy):
    """Writes a piece of HOSTILE into every step."""

    def step(self, at: int, rng: random.Random) -> str:
        return f"{super().step(at, rng)} {HOSTILE[rng.randrange(len(HOSTILE))]}"


def problems(root: Path) -> list[Problem]:
    """h1 with a picture, h2 with paths that lead out of the root, and three plain ones."""
    root.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 24), "teal").save(root / "teal.png")
    (root / "notes.png").write_text("no picture")
    Image.new("RGB", (8, 8)).save(root.parent / "secret.png")
    (root / "link.png").symlink_to(root.parent / "secret.png")
    text = " ".join(HOSTILE)
    out = ("../secret.png", str(root.parent / "secret.png"), "link.png", "notes.png", "absent.png", "/etc/passwd")
    return [
        Problem(id="h1", question=text, correct_answer="7", image_paths=("teal.png",), image_root=str(root)),
        Problem(id="h2", question="paths", correct_answer="8", image_paths=out, image_root=str(root)),
        *numbered(3),
    ]


async def make(folder: Path) -> Path:
    """The store in folder/store; q1 is quarantined, o1 is open and has not begun."""
    made = problems(folder / "images")
    quarantined = Problem(id="q1", question="damaged", correct_answer="1")
    records = [
        ProblemRecord(problem=quarantined, state="quarantined", reason=f"policy failed: {HOSTILE[1]}"),
        ProblemRecord(problem=Problem(id="o1", question="open", correct_answer="1"), state="open"),
    ]
    await grow_into(folder / "store", made, RULE, HostilePolicy(slip_rate=0.3), records=records)
    return folder / "store"
