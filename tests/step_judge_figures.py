"""Labels by rollouts, by a step judge of known noise, and by both, and a PRM on each:
python -m tests.step_judge_figures DIR OUT [N]

DIR holds a finished quickstart; it is only read. The judge is a loopback server that knows what the exact step checker
says of a step and turns N percent (10) of its words round, always the same ones. Each PRM is trained and evaluated
with the quickstart's own flags. What is done in OUT is not done again.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections import Counter
from hashlib import blake2b
from pathlib import Path

import msgspec

from examples.checker import first_error
from examples.quickstart import Quickstart, Size
from examples.truth import FAMILIES, Digits, family_of, label_quality, read_truth
from omegaprm.engine.export import ExportConfig, export
from omegaprm.engine.records import parse_process_text
from omegaprm.engine.step_judge import JudgeStepsConfig, run_judge_steps
from tests.fakes.chat_server import serving

SOURCES = ("mc", "judge", "consensus")


def between(prompt: str, mark: str) -> str:
    found = re.search(rf"<{mark}>\n(.*?)\n</{mark}>", prompt, re.DOTALL)
    assert found is not None
    return found[1]


class NoisyChecker:
    """The checker as a model; it knows the digits of a picture by the picture's data URL."""

    def __init__(self, problems: Path, truth: Digits, noise_percent: int) -> None:
        import base64

        self.noise_percent = noise_percent
        self.digits = {}
        for row in json.loads((problems / "digits" / "seeds.json").read_text()):
            picture = base64.b64encode((problems / "digits" / row["image_path"]).read_bytes()).decode()
            self.digits[f"data:image/png;base64,{picture}"] = truth[row["id"]]

    def answer(self, prompt: str) -> str:
        digits = self.digits.get(prompt.partition("\n")[0])
        before = between(prompt, "steps-before")
        steps = [] if before == "(none)" else before.split("\n\n")
        is_right = first_error(between(prompt, "problem"), [*steps, between(prompt, "step")], digits) is None
        turned = int.from_bytes(blake2b(prompt.encode(), digest_size=4).digest()) % 100 < self.noise_percent
        return f"Step: {'right' if is_right != turned else 'wrong'}"


def step_quality(rows: Path, truth: Digits) -> dict[str, dict[str, float]]:
    """For each family, "wrong" over the labelled steps of all rows, right solutions too, against the checker."""
    tallies: dict[str, Counter[str]] = {}
    for line in rows.read_text().splitlines():
        row = json.loads(line)
        problem_id = row["id"].rpartition("#")[0]
        tally = tallies.setdefault(family_of(problem_id), Counter())
        question, steps = parse_process_text(row["conversations"][0]["value"])
        error = first_error(question, list(steps), truth.get(problem_id))
        for at, label in enumerate(row["conversations"][1]["value"]):
            wrong = error is not None and at >= error
            tally["masked" if label is None else f"{wrong} {label == 0}"] += 1
    return {family: _figures(tally) for family, tally in sorted(tallies.items())}


def _figures(tally: Counter[str]) -> dict[str, float]:
    both, missed, invented = tally["True True"], tally["True False"], tally["False True"]
    return {
        "f1": round(2 * both / (2 * both + missed + invented), 4),
        "precision": round(both / (both + invented), 4),
        "recall": round(both / (both + missed), 4),
        "labelled": round(1 - tally["masked"] / tally.total(), 4),
    }


async def ask(folder: Path, store: Path, truth: Digits, noise_percent: int) -> None:
    async with serving(NoisyChecker(folder / "problems", truth, noise_percent).answer) as server:
        await run_judge_steps(JudgeStepsConfig(store=str(store), judge_url=server.url, judge_model="noisy-checker"))


class OnRows(Quickstart):
    """The last stages of a quickstart, on rows of another source."""

    def __init__(self, folder: Path, out: Path, size: Size) -> None:
        super().__init__(out, size)
        for name in ("problems", *(f"{family}.json" for family in FAMILIES)):
            if not (out / name).exists():
                (out / name).symlink_to((folder / name).resolve())

    def step_level(self) -> dict[str, dict[str, float]]:
        """Train, evaluate, and give the step figures of each family."""
        self.stage("train", self.train)
        self.stage("evaluate", self.evaluate)
        return {family: self._figures(family) for family in FAMILIES}

    def _figures(self, family: str) -> dict[str, float]:
        found = json.loads((self.out / "evaluation" / family / "evaluation.json").read_text())["prm"]
        best = max(each["accuracy"] for each in found["best_of_n"].values())
        steps = {name: round(found["step_level"][name], 4) for name in ("auc", "within_problem_auc", "ece")}
        return steps | {"random": found["random"], "best": best}


def main(folder: Path, out: Path, noise_percent: int = 10) -> None:
    store = out / "store"
    shutil.copytree(folder / "store", store, dirs_exist_ok=True)
    truth = read_truth(sorted((folder / "problems").glob("*/seeds.json")))
    size = msgspec.convert(json.loads((folder / "stages.json").read_text())["size"], Size)
    asyncio.run(ask(folder, store, truth, noise_percent))
    for source in SOURCES:
        rows = out / source / "rows"
        export(ExportConfig(stores=(str(store),), out=str(rows), label_source=source))  # type: ignore[arg-type]
        print(source, json.dumps(step_quality(rows / "train.jsonl", truth), indent=1))
        print(source, "label_f1", {name: each["label_f1"] for name, each in _known(rows, truth).items()})
    for source in SOURCES:
        print(source, json.dumps(OnRows(folder, out / source, size).step_level(), indent=1), flush=True)


def _known(rows: Path, truth: Digits) -> dict[str, dict[str, float]]:
    return label_quality(rows / "train.jsonl", truth)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
