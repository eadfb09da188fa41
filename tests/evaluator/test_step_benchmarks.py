"""ProcessBench, VisualProcessBench and PRMBench: formats as published, figures worked out by hand."""

import json

import pytest
from PIL import Image

from omegaprm.engine.errors import BadInput, UsageError
from omegaprm.evaluator.evaluate import EvaluateConfig, evaluate
from omegaprm.evaluator.step_benchmarks import LabelledSolution, read
from omegaprm.evaluator.step_figures import macro_figures, process_figures
from tests.fakes.scorer import ScriptedScorer


def process_row(id, steps, label):
    right = label < 0
    return {
        "id": id,
        "generator": "some-model",
        "problem": f"Problem {id}?",
        "steps": steps,
        "final_answer_correct": right,
        "label": label,
    }


def visual_row(steps, marks, source="MathVision", image=("a.png",)):
    return {
        "image": list(image),
        "question": "What is shown?",
        "answer": "4",
        "response": {"steps": steps, "process_correctness": marks},
        "policy_model": "some-model",
        "data_source": source,
    }


def prm_row(steps, errors, kind):
    return {
        "original_question": "q",
        "modified_question": f"q of {kind}",
        "original_process": steps,
        "modified_process": steps,
        "modified_steps": errors,
        "error_steps": errors,
        "reason": "",
        "idx": f"{kind}_0",
        "question": "q",
        "classification": kind,
    }


def solution(labels, subset="s"):
    return LabelledSolution(subset=subset, question="q", steps=("s",) * len(labels), labels=tuple(labels))


def test_processbench_labels_name_the_first_error(tmp_path):
    rows = [process_row("gsm8k-0", ["a", "b", "c"], 1), process_row("gsm8k-1", ["a", "b"], -1)]
    (tmp_path / "gsm8k.json").write_text(json.dumps(rows))
    (tmp_path / "math.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read("processbench", [str(tmp_path / "gsm8k.json"), str(tmp_path / "math.jsonl")]).solutions
    assert [one.labels for one in found[:2]] == [(1, 0, None), (1, 1)]
    assert [one.first_error for one in found] == [1, -1, 1, -1]
    assert [one.subset for one in found] == ["gsm8k", "gsm8k", "math", "math"]


@pytest.mark.parametrize("text", [False, True])
def test_visualprocessbench_marks_and_images_are_read(text, tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    row = visual_row(["a", "b", "c"], [1, 0, -1])
    if text:
        row["response"] = json.dumps(row["response"])
    (tmp_path / "test.jsonl").write_text(json.dumps(row))
    (found,) = read("visualprocessbench", [str(tmp_path / "test.jsonl")]).solutions
    assert (found.labels, found.subset, len(found.images)) == ((1, None, 0), "MathVision", 1)


def test_prmbench_counts_steps_from_one(tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps(prm_row(["a", "b", "c"], [2, 3], "circular")))
    (found,) = read("prmbench", [str(tmp_path / "p.jsonl")]).solutions
    assert (found.labels, found.subset, found.question) == ((1, 0, 0), "circular", "q of circular")


@pytest.mark.parametrize(
    ("benchmark", "row", "field"),
    [
        ("processbench", process_row("a", ["a"], 1), "label"),
        ("processbench", process_row("a", [], -1), "steps"),
        ("processbench", {**process_row("a", ["a"], 0), "problem": " "}, "problem"),
        ("visualprocessbench", visual_row(["a"], [1, 1], image=()), "response.process_correctness"),
        ("visualprocessbench", visual_row(["a"], [1], image=("../x.png",)), "image"),
        ("prmbench", prm_row(["a"], [0], "c"), "error_steps"),
        ("prmbench", 7, "entry"),
    ],
)
def test_a_broken_row_is_named_and_spares_the_others(benchmark, row, field, tmp_path):
    good = {
        "processbench": process_row("b", ["a"], -1),
        "visualprocessbench": visual_row(["a"], [1], image=()),
        "prmbench": prm_row(["a"], [1], "c"),
    }[benchmark]
    (tmp_path / "f.jsonl").write_text("\n".join(map(json.dumps, [row, good])))
    samples = read(benchmark, [str(tmp_path / "f.jsonl")])
    assert [(one.index, one.field) for one in samples.rejected] == [(0, field)]
    assert len(samples.solutions) == 1
    (tmp_path / "f.jsonl").write_text("\n".join(map(json.dumps, [row, 8])))
    with pytest.raises(BadInput, match=rf"the first bad one: \S+\[0\]: {field}"):
        read(benchmark, [str(tmp_path / "f.jsonl")])


def test_process_figures_worked_by_hand():
    # Two erroneous solutions, one of them found; three right ones, two of them let through: F1 of 1/2 and 2/3.
    solutions = [solution([1, 0, None]), solution([0]), solution([1]), solution([1, 1]), solution([1, 1])]
    scores = [[0.9, 0.2, 0.1], [0.8], [0.6], [0.7, 0.9], [0.9, 0.4]]
    found = process_figures(solutions, scores, threshold=0.5, draws=50)
    row = found["subsets"]["s"]
    assert row["accuracy_erroneous"] == pytest.approx(1 / 2)
    assert row["accuracy_right"] == pytest.approx(2 / 3)
    assert row["f1"] == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    assert (row["num_erroneous"], row["num_right"]) == (2, 3)
    assert found["average_f1"] == pytest.approx(row["f1"])
    assert row["low"] <= row["f1"] <= row["high"]


def test_the_threshold_is_chosen_on_one_subset_and_told():
    # On "easy" only thresholds in (0.3, 0.6] answer everything; on "hard" one in (0.7, 0.8] would.
    solutions = [solution([1, 0], "easy"), solution([1, 1], "easy"), solution([0], "hard"), solution([1], "hard")]
    scores = [[0.6, 0.3], [0.9, 0.6], [0.7], [0.8]]
    found = process_figures(solutions, scores, draws=20)
    assert found["threshold_chosen_on"] == "easy"
    assert found["threshold"] == pytest.approx(0.45)
    assert found["subsets"]["easy"]["f1"] == 1.0
    assert found["subsets"]["hard"]["f1"] == 0.0
    assert found["average_f1"] == pytest.approx(0.5)
    other = process_figures(solutions, scores, chosen_on="hard", draws=20)
    assert (other["subsets"]["hard"]["f1"], other["threshold"]) == (1.0, pytest.approx(0.75))
    with pytest.raises(UsageError, match="easy, hard"):
        process_figures(solutions, scores, chosen_on="none")


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_a_constant_scorer_has_no_f1(score):
    solutions = [solution([1, 0]), solution([1, 1]), solution([0, None])]
    for found in (process_figures(solutions, [[score] * 2] * 3, draws=20),):
        assert found["subsets"]["s"]["f1"] in (0.0, pytest.approx(2 * 0.5 * 0 / 1))


def test_a_perfect_scorer_reaches_one_everywhere():
    solutions = [solution([1, 0, None]), solution([1, 1]), solution([0])]
    scores = [[1.0, 0.0, 0.0], [1.0, 1.0], [0.0]]
    assert process_figures(solutions, scores, draws=20)["average_f1"] == 1.0
    assert macro_figures(solutions, scores, draws=20)["macro_f1"] == 1.0


def test_a_subset_with_one_kind_of_solution_has_no_f1():
    row = process_figures([solution([1])], [[0.9]], threshold=0.5, draws=20)["subsets"]["s"]
    assert (row["f1"], row["accuracy_erroneous"], row["accuracy_right"]) == (None, None, 1.0)


def test_macro_figures_worked_by_hand():
    # Right steps: 3, two called right; wrong steps: 2, one called right. F1 right 2*2/(3+3), wrong 2*1/(2+2).
    solutions = [solution([1, 1, 0]), solution([1, None, 0], "t")]
    found = macro_figures(solutions, [[0.9, 0.2, 0.1], [0.8, 0.1, 0.7]], draws=50)
    assert (found["threshold"], found["threshold_chosen_on"]) == (0.5, None)
    assert found["f1_right"] == pytest.approx(2 / 3)
    assert found["f1_wrong"] == pytest.approx(1 / 2)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert (found["num_right"], found["num_wrong"]) == (3, 2)
    assert found["subsets"]["t"]["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_the_macro_threshold_can_be_chosen_on_a_subset():
    solutions = [solution([1, 0]), solution([1, 0], "t")]
    scores = [[0.4, 0.2], [0.9, 0.8]]
    found = macro_figures(solutions, scores, chosen_on="s", draws=20)
    assert (found["threshold"], found["threshold_chosen_on"]) == (pytest.approx(0.3), "s")
    assert found["subsets"]["s"]["macro_f1"] == 1.0


def knows_marks(item, at):
    return 0.1 if item.steps[at].startswith("wrong") else 0.9


def test_the_command_gives_the_figures_of_all_three_with_a_scripted_scorer(tmp_path, capsys):
    files = {
        "gsm8k.json": json.dumps([process_row("1", ["ok", "wrong"], 1), process_row("2", ["ok"], -1)]),
        "math.json": json.dumps([process_row("3", ["ok", "ok"], 0), process_row("4", ["ok"], -1), {"id": 5}]),
        "test.jsonl": json.dumps(visual_row(["ok", "wrong"], [1, -1], image=())),
        "prm.jsonl": json.dumps(prm_row(["ok", "wrong", "ok"], [2, 3], "circular")),
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "prm").mkdir()
    paths = {name: str(tmp_path / name) for name in files}
    made = EvaluateConfig(
        processbench=(paths["gsm8k.json"], paths["math.json"]),
        visualprocessbench=(paths["test.jsonl"],),
        prmbench=(paths["prm.jsonl"],),
        prm=str(tmp_path / "prm"),
        out=str(tmp_path / "out"),
        draws=20,
    )
    evaluate(made, lambda *_: ScriptedScorer(knows_marks))
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    benchmarks = found["step_benchmarks"]["prm"]
    assert found["prm"] is None
    assert found["num_skipped"] == 1
    assert benchmarks["processbench"]["subsets"]["gsm8k"]["f1"] == 1.0
    assert benchmarks["processbench"]["subsets"]["math"]["f1"] == 0.0
    assert benchmarks["processbench"]["threshold_chosen_on"] == "gsm8k"
    assert benchmarks["visualprocessbench"]["macro_f1"] == 1.0
    assert benchmarks["prmbench"]["subsets"]["circular"]["f1_wrong"] == pytest.approx(2 / 3)
    printed = capsys.readouterr().out
    assert "chosen on gsm8k" in printed
    assert "circular" in printed


def test_nothing_to_evaluate_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="--candidates"):
        evaluate(EvaluateConfig(prm="p", out=str(tmp_path)), lambda *_: ScriptedScorer())


def test_two_thresholds_are_a_usage_error():
    with pytest.raises(UsageError, match="--threshold-on"):
        EvaluateConfig(prm="p", out="o", prmbench=("a",), threshold=0.4, threshold_on="x")
