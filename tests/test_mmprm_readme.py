"""What MM-PRM's README has its users make, step by step: every file is taken as it is, its absolute paths too."""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from omegaprm.engine import commands, journal
from omegaprm.engine.annotate import annotate
from omegaprm.engine.config import AnnotateConfig, RolloutConfig
from omegaprm.engine.export import ExportConfig, export
from omegaprm.engine.import_trees import ImportTreesConfig, import_trees
from omegaprm.engine.presets import PRESETS
from omegaprm.engine.problems import SeedSet, read_problems
from omegaprm.engine.rollout import run, start_judge
from omegaprm.engine.step_asking import _data_urls
from omegaprm.engine.store import Store
from omegaprm.engine.view.pictures import picture
from omegaprm.evaluator.candidates import load
from omegaprm.evaluator.config import EvaluateConfig
from omegaprm.evaluator.evaluate import evaluate
from omegaprm.trainer import rows
from tests.conftest import ROOT
from tests.fakes.policy import ScriptedPolicy
from tests.fakes.scorer import ScriptedScorer

NUM_PROBLEMS = 18
NUM_CHUNKS = 16
"""Chunks of ceil(18 / 16) = 2 problems, so that the last ones are empty lists."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where an MM-PRM user has seeds in one folder and images in another, named by absolute paths."""
    (tmp_path / "images").mkdir()
    (tmp_path / "seeds").mkdir()
    seeds = []
    for at in range(NUM_PROBLEMS):
        image = tmp_path / "images" / f"{at}.png"
        Image.new("RGB", (12, 8), (at, 200, 90)).save(image)
        seeds.append(
            {
                "id": f"k12-{at}",
                "question": f"What is {at} plus 1?",
                "correct_answer": str(at + 1),
                "image_path": str(image),
            }
        )
    write(tmp_path / "seeds" / "seeds.json", seeds)
    for part in range(NUM_CHUNKS):
        write(tmp_path / "seeds" / "split_dir" / f"questions_part_{part + 1}.json", seeds[2 * part : 2 * part + 2])
    return tmp_path


def write(file: Path, content: Any) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=4, ensure_ascii=False))
    return str(file)


def chunks(data: Path) -> list[Path]:
    return sorted((data / "seeds" / "split_dir").iterdir())


def ids(seeds: SeedSet) -> set[str]:
    return {problem.id for problem in seeds.problems}


def test_seeds_with_absolute_paths_are_used_under_a_root_that_contains_the_images(data: Path) -> None:
    for root, named in ((data, "images/3.png"), (data / "images", "3.png"), (Path("/"), f"{data}/images/3.png"[1:])):
        seeds = read_problems([data / "seeds" / "seeds.json"], root)
        assert not seeds.rejected
        assert len(seeds.problems) == NUM_PROBLEMS
        assert seeds.problems[3].image_paths == (named,)
    refused = read_problems([data / "seeds" / "seeds.json"])
    assert len(refused.rejected) == NUM_PROBLEMS
    assert all("outside the image root" in row.reason and "--image-root" in row.reason for row in refused.rejected)


def test_the_chunks_of_a_seeds_file_are_the_same_problems(data: Path) -> None:
    whole = read_problems([data / "seeds" / "seeds.json"], data)
    parts = [read_problems([chunk], data) for chunk in chunks(data)]
    assert sorted(len(part.problems) for part in parts) == [0] * 7 + [2] * 9
    assert set.union(*map(ids, parts)) == ids(whole)
    assert read_problems(chunks(data), data).fingerprint() == whole.fingerprint()


async def scripted(config: AnnotateConfig | RolloutConfig) -> ScriptedPolicy:
    return ScriptedPolicy()


def annotated(data: Path, policy_folder: Path, *more: str) -> Path:
    """A store of the chunks' trees, grown under MM-PRM's settings within a smaller budget."""
    flags = ["--preset", "mmprm", "--seeds", *map(str, chunks(data)), "--image-root", str(data)]
    places = ["--model", str(policy_folder), "--store", str(data / "store"), "--rollout-budget", "96", *more]
    annotate(commands.parse(AnnotateConfig, [*flags, *places], "annotate", PRESETS), scripted)
    return data / "store"


def test_trees_grown_from_them_give_rows_whose_images_are_found(data: Path, policy_folder: Path) -> None:
    store = annotated(data, policy_folder)
    export(ExportConfig(stores=(str(store),), out=str(data / "rows")))
    meta = json.loads((data / "rows" / "meta.json").read_text())
    assert meta["omegaprm"]["root"] == str(data)
    read = rows.read([str(data / "rows" / "meta.json")])
    assert (read.num_bad, len(read.rows)) == (0, meta["omegaprm"]["length"])
    assert {Path(image).parent for row in read.rows for image in row.images} == {data / "images"}


def test_their_images_are_shown_and_sent_to_a_step_judge(data: Path, policy_folder: Path) -> None:
    with Store.open_reader(annotated(data, policy_folder)) as store:
        problems = {record.problem.id: record.problem for record in journal.problem_records(store)}
    content = (data / "images" / "7.png").read_bytes()
    assert picture(problems["k12-7"], 0, None).content == content
    assert picture(problems["k12-7"], 0, str(data)).media_type == "image/png"
    (url,) = _data_urls(problems["k12-7"])
    assert url.startswith("data:image/png;base64,")


def test_a_dry_run_names_the_image_and_the_cost(
    data: Path, policy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotated(data, policy_folder, "--dry-run", "2")
    said = capsys.readouterr().out
    assert len(re.findall(r"^--- user \[image images/\d+\.png\]", said, re.MULTILINE)) == 2
    assert f"all {NUM_PROBLEMS} problems" in said


def state(value: float, right: list[list[str]], wrong: list[list[str]], *children: dict[str, Any]) -> dict[str, Any]:
    leaves = [{"partial_solution": steps, **state(1.0, [], [])} for steps in right]
    return {
        "mc_value": value,
        "visit_count": 0,
        "correct_rollouts": right,
        "incorrect_rollouts": wrong,
        "children": [*leaves, *children],
    }


def mmprm_tree(image: Path) -> dict[str, Any]:
    """A tree of 16 rollouts per state, in the order of MM-PRM's fields: the third step "x = 5" is the first error."""
    right, wrong = ["x + 1 = 5", "so x = 4, as asked", "x = 4"], ["x + 1 = 5", "so x = 4, as asked", "x = 5", "5"]
    doomed = {"partial_solution": wrong[2:3], **state(0.0, [], [["5"]])}
    good = {"partial_solution": wrong[:2], **state(0.75, [["x = 4"]], [wrong[2:]], doomed)}
    head = {"question": "Find x in the picture.", "answer": 4, "image_path": str(image)}
    return {**head, **state(0.5, [right], [wrong, []], good), "id": 17}


def opinionated(node: dict[str, Any]) -> dict[str, Any]:
    """A tree as MM-PRM's own step judge leaves it."""
    for child in node["children"]:
        child.update({"logprob_yes": 0.9, "logprob_no": 0.05, "llm_as_a_judge": 0.947})
        opinionated(child)
    return node


@pytest.mark.parametrize("kind", [lambda tree: tree, opinionated], ids=["outputs", "mllm_as_a_judge_outputs"])
def test_its_trees_become_rows_with_their_images(
    data: Path, kind: Callable[[dict[str, Any]], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    write(data / "outputs" / "0123456789abcdef.json", kind(mmprm_tree(data / "images" / "4.png")))
    given = ImportTreesConfig(trees=(str(data / "outputs"),), store=str(data / "imported"))
    with pytest.raises(Exception, match="no usable tree"):
        import_trees(given)
    assert f"'{data}/images/4.png' is outside the image root '.'" in capsys.readouterr().out
    import_trees(msgspec.structs.replace(given, image_root=str(data)))
    export(ExportConfig(stores=(str(data / "imported"),), out=str(data / "rows")))
    (wrong,) = [row for row in rows.read([str(data / "rows" / "meta.json")]).rows if 0 in row.labels]
    assert wrong.question == "Find x in the picture."
    assert wrong.steps[:3] == ("x + 1 = 5", "so x = 4, as asked", "x = 5")
    assert wrong.labels[:3] == (0.75, 0.75, 0.0)
    assert wrong.images == (str(data / "images" / "4.png"),)


def sampled(data: Path) -> list[dict[str, Any]]:
    """What MM-PRM samples from trees: one <prm> per node, which may be several steps."""
    process = "x + 1 = 5\n\nso x = 4, as asked<prm>\n\nx = 5<prm>"
    return [
        {
            "question": f"Find x, {at}.",
            "answer": "4",
            "image_path": str(data / "images" / f"{at}.png"),
            "process": process,
            "labels": [0.75, 0.0],
        }
        for at in range(3)
    ]


def formatted(data: Path) -> list[dict[str, Any]]:
    """The rows that MM-PRM trains on."""
    return [
        {
            "id": at,
            "image": one["image_path"],
            "conversations": [
                {"from": "human", "value": f"Question: {one['question']}\nProcess: {one['process']}"},
                {"from": "gpt", "value": one["labels"]},
            ],
        }
        for at, one in enumerate(sampled(data))
    ]


def contents(read: rows.Rows) -> list[Any]:
    return [(row.question, row.steps, row.labels, row.images) for row in read.rows]


def test_its_sampled_solutions_and_the_rows_made_of_them_are_the_same_rows(data: Path) -> None:
    output = write(data / "output_file.json", sampled(data))
    (data / "train.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in formatted(data)))
    of_rows = rows.read([str(data / "train.jsonl")])
    assert of_rows.num_bad == 0
    assert of_rows.rows[2].steps == ("x + 1 = 5\n\nso x = 4, as asked", "x = 5")
    assert of_rows.rows[2].labels == (0.75, 0.0)
    assert of_rows.rows[2].images == (str(data / "images" / "2.png"),)
    assert contents(rows.read([output])) == contents(of_rows)


@pytest.mark.parametrize("root", ["images", "elsewhere"])
def test_its_meta_file_is_read_as_its_readme_shows_it(data: Path, root: str) -> None:
    """There a root has no say over absolute paths; here --image-root has the last word."""
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in formatted(data)))
    entry = {
        "root": str(data / root),
        "annotation": str(data / "train.jsonl"),
        "data_augment": False,
        "repeat_time": 1,
        "length": "3",
    }
    meta = write(data / "shell" / "data" / "meta.json", {"your-custom-prm_dataset": entry})
    read = rows.read([meta], image_root=None if root == "images" else "/")
    assert (len(read.rows), read.num_bad) == (3, 0)
    assert read.rows[0].images == (str(data / "images" / "0.png"),)


def test_candidates_of_such_seeds_are_evaluated_under_the_root_that_is_named(
    data: Path, policy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = data / "runs" / "candidates.json"
    out.parent.mkdir()
    config = RolloutConfig(
        seeds=(str(data / "seeds" / "seeds.json"),),
        image_root=str(data),
        model=str(policy_folder),
        out=str(out),
        num_candidates=4,
    )
    asyncio.run(run(config, scripted, start_judge))
    (named,) = re.findall(r"evaluate with --image-root (\S+)", capsys.readouterr().err)
    loaded = load([str(out)], named)
    assert not loaded.rejected
    assert {Path(image).parent for (image,) in loaded.images} == {data / "images"}


SCORES = [[0.9, 0.4, 0.7], [0.6, 0.6], [0.95, 0.3, 0.99, 0.5], [0.2]]
"""Step scores of four solutions; the aggregations disagree on the best one."""


def evaluated(data: Path, content: list[dict[str, Any]], image_root: Path | str = "/", **flags: Any) -> dict[str, Any]:
    """bin/evaluate on a file of rollouts with scripted scores: candidate number, then step."""
    (data / "prm").mkdir()
    file = write(data / "rollouts" / "k12.json", content)
    out = str(data / "evaluation")
    config = EvaluateConfig(
        candidates=(file,), prm=str(data / "prm"), out=out, image_root=str(image_root), draws=20, **flags
    )
    scorer = ScriptedScorer(lambda item, at: SCORES[int(item.steps[-1])][at])
    evaluate(config, lambda path, batch_size: scorer)
    assert all(Path(image).is_file() for item in scorer.asked for image in item.images)
    assert all(item.images for item in scorer.asked)
    return dict(json.loads(Path(out, "evaluation.json").read_text()))


def k12(data: Path, right: int) -> dict[str, Any]:
    """An entry as MM-PRM's evaluation of its own test set reads it; the solution of this number is right."""
    solutions = [[f"step {at}" for at in range(len(scores) - 1)] + [str(n)] for n, scores in enumerate(SCORES)]
    return {
        "id": f"k12-{right}",
        "question": f"Which is {right}?",
        "correct_answer": str(right),
        "image_path": str(data / "images" / f"{right}.png"),
        "solutions_splits": solutions,
        "labels": [int(n == right) for n in range(len(SCORES))],
    }


RULES: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "last": lambda p: p[-1],
    "product": math.prod,
    "average": lambda p: sum(p) / len(p),
    "sum_logprob": lambda p: sum(math.log(x) for x in p),
    "max": max,
    "sum_logits": lambda p: sum(math.log(x) - math.log(1 - x) for x in p),
    "mean_odd": lambda p: sum(x / (1 - x) for x in p) / len(p),
}
"""The eight by their definitions."""


@pytest.mark.parametrize("right", range(3))
def test_its_eight_aggregations_choose_by_their_definitions(data: Path, right: int) -> None:
    found = evaluated(data, [k12(data, right)])["prm"]["best_of_n"]
    chosen = {name: max(range(len(SCORES)), key=lambda n: rule(SCORES[n])) for name, rule in RULES.items()}
    assert set(chosen.values()) == {0, 1, 2}
    assert {name: figure["accuracy"] for name, figure in found.items()} == {
        name: float(at == right) for name, at in chosen.items()
    }


def test_its_result_files_with_scores_are_candidates_too(data: Path) -> None:
    scored = [{**k12(data, at), "prm_scores": SCORES} for at in range(len(SCORES))]
    found = evaluated(data, scored)
    assert found["num_skipped"] == 0
    assert found["prm"]["random"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("benchmark", "fields"),
    [
        ("olympiadbench", {"question": "q", "final_answer": ["1"], "image_1": "{}", "image_2": None}),
        ("mathverse", {"sample_index": "1", "query_cot": "q", "answer": "1", "image": "{}"}),
        ("mathvista", {"pid": "1", "query": "q", "answer": "1", "image": "images/1.png"}),
        ("mathvision", {"question": "q", "options": [], "answer": "1", "image": "images/1.png"}),
    ],
)
def test_its_benchmarks_name_images_by_absolute_paths_too(data: Path, benchmark: str, fields: dict[str, Any]) -> None:
    """Two of its scripts take the last part of a path below the root, two the path."""
    given = {
        name: value.format(data / "images" / "1.png") if value == "{}" else value for name, value in fields.items()
    }
    entry = {"id": 1, **given, "solutions_splits": k12(data, 1)["solutions_splits"], "labels": [0, 1, 0, 0]}
    found = evaluated(data, [entry], image_root=data / "images", benchmark=benchmark)
    assert found["num_skipped"] == 0


@pytest.mark.engine
@pytest.mark.timeout(600)
def test_the_real_engine_reads_images_by_absolute_paths(data: Path) -> None:
    """bin/annotate and bin/export on bundled problems whose images lie outside the folder of the seeds."""
    bundled = ROOT / "examples" / "digits"
    problems = json.loads((bundled / "seeds.json").read_text())[:6]
    seeds = write(
        data / "seeds" / "digits.json",
        [{**problem, "image_path": str(bundled / problem["image_path"])} for problem in problems],
    )
    flags = ["--num-rollouts", "8", "--rollout-budget", "48", "--max-searches", "2", "--max-new-tokens", "160"]
    store = ["--store", str(data / "store"), "--image-root", str(bundled)]
    said = ran("annotate", "--seeds", seeds, "--model", str(ROOT / "examples" / "policy"), *store, *flags)
    assert not re.search(r"^rejected ", said, re.MULTILINE)
    with Store.open_reader(data / "store") as opened:
        records = list(journal.problem_records(opened))
    assert [record.state for record in records] == ["done"] * 6
    assert all(record.num_rollouts for record in records)
    ran("export", str(data / "store"), "--out", str(data / "rows"))
    read = rows.read([str(data / "rows" / "meta.json")])
    assert read.num_bad == 0
    assert {Path(image).parent for row in read.rows for image in row.images} == {bundled / "images"}


def ran(command: str, *words: str) -> str:
    """Run a command of bin/; all that it says."""
    ended = subprocess.run(
        [sys.executable, ROOT / "bin" / command, *words], capture_output=True, text=True, timeout=500, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr
