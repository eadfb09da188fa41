from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from omegaprm.engine.errors import BadInput, StoreFailed
from omegaprm.engine.judge import grading
from omegaprm.engine.judge.grading import JudgeConfig, candidates_of, grade_file, grade_rows, read_rows
from omegaprm.engine.records import Verdict
from tests.fakes.judge import ScriptedJudge

ROOT = Path(__file__).parents[2]
SEEDS = ROOT.parent / "shared" / "data" / "mathv" / "seeds.json"


def row(**changes):
    base = {
        "id": "a",
        "question": "How many?",
        "correct_answer": "5",
        "image_path": None,
        "solutions_splits": [["count", "5"], ["guess", "6"], ["give up", ""]],
        "labels": [1, 1, 0],
    }
    return base | changes


def write(path: Path, rows) -> Path:
    path.write_text(json.dumps(rows))
    return path


def config(folder: Path, rows, **flags) -> JudgeConfig:
    return JudgeConfig(candidates=str(write(folder / "in.json", rows)), out=str(folder / "out.json"), **flags)


def test_labels_and_answers_are_filled_in_and_other_fields_stay(tmp_path):
    grade_file(config(tmp_path, [row(level=3)]))
    (judged,) = json.loads((tmp_path / "out.json").read_text())
    assert judged == row(level=3, labels=[1, 0, 0], answers=["5", "6", ""])


def test_answers_that_are_there_are_judged_instead_of_the_last_steps(tmp_path):
    grade_file(config(tmp_path, [row(answers=["6", "5", "5"])]))
    (judged,) = json.loads((tmp_path / "out.json").read_text())
    assert judged["labels"] == [0, 1, 1]


def test_counts_unknowns_and_disagreements_are_printed(tmp_path, capsys):
    grade_file(config(tmp_path, [row()], compare=True))
    output = capsys.readouterr().out
    assert "agreement: 2 of 3 (66.7%)" in output
    assert "Disagreements" in output
    assert "empty" in output
    assert "number" in output


def test_rows_without_labels_have_nothing_to_compare(tmp_path, capsys):
    unlabelled = row()
    del unlabelled["labels"]
    grade_file(config(tmp_path, [unlabelled], compare=True))
    assert "no row had labels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (7, "must be an object, is int"),
        ({"id": "a"}, "question"),
        (row(question=5), "$.question"),
        (row(correct_answer=" "), "correct_answer: must not be blank"),
        (row(solutions_splits=[]), "solutions_splits: must hold at least one"),
        (row(solutions_splits=[["a"], "b"]), "$.solutions_splits"),
        (row(labels=[1]), "labels: must hold one entry a solution, 3, holds 1"),
        (row(answers=["5"]), "answers: must hold one entry a solution, 3, holds 1"),
        (row(answers=["5", "\ud800", "6"]), "answers: must be text in Unicode or a finite number"),
        (row(question="half \ud800"), "must be text in Unicode"),
        (row(correct_answer=float("nan")), "correct_answer: must be text in Unicode or a finite number"),
        (row(correct_answer=float("inf")), "correct_answer: must be text in Unicode or a finite number"),
        (row(correct_answer=True), "correct_answer: must be text in Unicode or a finite number"),
        (row(answers=["5", 1e400, 6]), "answers: must be text in Unicode or a finite number"),
        (row(answers=["5", [6], 6]), "answers: must be text in Unicode or a finite number"),
        (row(answers=5.5), "Expected `array`, got `float` - at `$.answers`"),
        (row(solutions_splits=[["count", 5]], labels=[]), "Expected `str`, got `int` - at `$.solutions_splits[0][1]`"),
        (row(solutions_splits=[["count", 5.0]], labels=[]), "Expected `str`, got `float`"),
        (row(image_path=["a.png", "\ud800"]), "image_path: must be text in Unicode"),
    ],
)
def test_a_malformed_row_is_reported_with_index_field_and_rule_and_the_rest_goes_on(tmp_path, capsys, broken, reason):
    grade_file(config(tmp_path, [row(), broken, row(id="b")]))
    output = " ".join(capsys.readouterr().out.split())
    assert "row 1: left out: " in output
    assert reason in output
    assert [one["id"] for one in json.loads((tmp_path / "out.json").read_text())] == ["a", "b"]


@pytest.mark.parametrize("content", ["[]", "[1, 2]", "{}", "not json", "[" * 100_000])
def test_a_file_without_a_usable_row_is_bad_input(tmp_path, content):
    (tmp_path / "in.json").write_text(content)
    with pytest.raises(BadInput):
        grade_file(JudgeConfig(candidates=str(tmp_path / "in.json"), out=str(tmp_path / "out.json")))
    assert not (tmp_path / "out.json").exists()


def test_numbers_as_ids_and_answers_are_accepted():
    candidates = candidates_of(row(id=7, correct_answer=2.5))
    assert (candidates.id, candidates.correct_answer) == ("7", "2.5")
    candidates = candidates_of(row(answers=[5, None, 6.5], labels=[True, 0.0, False]))
    assert (candidates.answers, candidates.labels) == (("5", "", "6.5"), (1, 0, 0))


def test_a_number_is_judged_with_the_decimals_it_was_written_with(tmp_path):
    text = json.dumps([row(correct_answer=4711, solutions_splits=[["8.54"], ["8.5"]], labels=[])])
    (tmp_path / "in.json").write_text("\ufeff" + text.replace("4711", "8.50"))
    grade_file(JudgeConfig(candidates=str(tmp_path / "in.json"), out=str(tmp_path / "out.json")))
    assert json.loads((tmp_path / "out.json").read_text())[0]["labels"] == [0, 1]


@pytest.mark.parametrize(
    ("reference", "answers", "labels"),
    [
        ("5", '[5, "5", 5.0, 6]', [1, 1, 1, 0]),
        ("8.50", '[8.54, 8.5, 8.496, "8.51"]', [0, 1, 1, 0]),
        ("-0.0", "[0, -0.0, 0e5, 1]", [1, 1, 1, 0]),
        ("1E3", '[1000, 1e3, "1,000", 1e2]', [1, 1, 1, 0]),
        ("9" * 5000, "[5, 6.5, 1e-400, 1e300]", [0, 0, 0, 0]),
    ],
)
def test_numbers_are_judged_as_their_text_and_the_output_is_judged_the_same_again(tmp_path, reference, answers, labels):
    text = json.dumps([row(correct_answer=4711, solutions_splits=[["a"]] * 4, answers=815, labels=[])])
    (tmp_path / "in.json").write_text(text.replace("4711", reference).replace("815", answers))
    for source in ("in.json", "out.json"):
        grade_file(JudgeConfig(candidates=str(tmp_path / source), out=str(tmp_path / "out.json")))
        (judged,) = json.loads((tmp_path / "out.json").read_text())
        assert (judged["correct_answer"], judged["labels"]) == (reference, labels)


def test_a_failed_write_leaves_the_old_output_and_no_rest(tmp_path):
    (tmp_path / "out.json").mkdir()
    with pytest.raises(StoreFailed, match="--out"):
        grade_file(config(tmp_path, [row()]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.json", "out.json"]


@pytest.mark.parametrize("out", ["folder", "file/out.json"])
def test_an_output_that_cannot_be_written_is_told_before_anything_is_judged(tmp_path, monkeypatch, out):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(grading, "_grade_with_cascade", lambda *_: pytest.fail("judged"))
    rows = write(tmp_path / "in.json", [row()])
    with pytest.raises(StoreFailed, match=f"--out .*{out}"):
        grade_file(JudgeConfig(candidates=str(rows), out=str(tmp_path / out)))


def test_rows_one_a_line_are_told_from_a_list(tmp_path):
    (tmp_path / "in.jsonl").write_text(f"{json.dumps(row())}\n{json.dumps(row())}\n")
    with pytest.raises(BadInput, match="in one JSON list, not one a line"):
        read_rows(tmp_path / "in.jsonl")


async def test_unknown_counts_as_label_zero_and_any_judge_fits(tmp_path):
    rows, _ = read_rows(write(tmp_path / "in.json", [row(), row(id="b")]))
    graded = await grade_rows(rows, ScriptedJudge(lambda problem, answer: {"5": True, "6": None}.get(answer, False)))
    assert [one.labels for one in graded] == [(1, 0, 0), (1, 0, 0)]
    assert graded[0].verdicts[1] == Verdict("unknown", "script")


def test_the_command_ends_with_the_documented_codes(tmp_path):
    def run(*arguments: str) -> int:
        return subprocess.run([sys.executable, ROOT / "bin" / "judge", *arguments], capture_output=True).returncode

    good = write(tmp_path / "in.json", [row()])
    out = str(tmp_path / "out.json")
    assert run("--candidates", str(good), "--out", out, "--compare") == 0
    assert run("--candidates", str(write(tmp_path / "bad.json", [1])), "--out", out) == 65
    assert run("--candidates", str(good)) == 64
    assert run("--candidates", str(good), "--out", out, "--math-verify-workers", "0") == 64


def equivalent_forms(reference: str) -> list[str]:
    return [
        reference,
        f"${reference}$",
        f"\\boxed{{{reference}}}",
        f"The answer is {reference}.",
        f"{reference} \\text{{ cm}}",
        f"x = {reference}",
        f"\\frac{{{reference}}}{{1}}" if reference.isdigit() else f"{reference}0",
    ]


@pytest.mark.skipif(not SEEDS.exists(), reason="the MATH-Vision problems are not there")
async def test_references_of_real_problems_are_right_against_themselves_and_nothing_else(tmp_path):
    from omegaprm.engine.judge.cascade import Cascade
    from omegaprm.engine.records import Problem

    judge = await Cascade.start(num_workers=1, deadline_seconds=60)
    for seed in json.loads(SEEDS.read_text()):
        reference = seed["correct_answer"]
        problem = Problem(id=seed["id"], question=seed["question"], correct_answer=reference)
        for answer in equivalent_forms(reference):
            verdict = await judge.grade(problem, answer)
            is_foreign_unit = "cm" in answer and verdict == Verdict("unknown", "unit")
            assert verdict.outcome == "correct" or is_foreign_unit, (seed["id"], reference, answer, verdict)
        for answer in (f"1{reference}", f"-{reference}", f"{reference} or 77"):
            assert (await judge.grade(problem, answer)).outcome == "incorrect", (seed["id"], answer)
    await judge.close()
