"""The whole command with a scripted scorer: figures, files, resuming, and what a signal leaves behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from omegaprm.engine.errors import BadInput, ConfigurationError, Drained, UsageError
from omegaprm.evaluator.evaluate import EvaluateConfig, evaluate
from tests.fakes.scorer import ScriptedScorer

ROOT = Path(__file__).parents[2]
PICTURES = ("best_of_n.png", "aggregations.png", "case_study.png")


def knows_the_answer(item, at):
    """High for steps of solutions that end in 2."""
    return 0.9 if item.steps[-1] == "2" else 0.8 - 0.3 * at


def entry(id, labels, **more):
    steps = [[f"try {at} of {id}", "2" if label else f"{3 + at}"] for at, label in enumerate(labels)]
    row = {"id": id, "question": f"1+1, {id}?", "correct_answer": "2", "solutions_splits": steps}
    return row | {"labels": labels} | more


@pytest.fixture
def config(tmp_path):
    def made(rows, **more):
        (tmp_path / "c.json").write_text(json.dumps(rows))
        for name in ("prm", "untrained"):
            (tmp_path / name).mkdir(exist_ok=True)
        files = {
            "candidates": (str(tmp_path / "c.json"),),
            "prm": str(tmp_path / "prm"),
            "out": str(tmp_path / "out"),
        }
        return EvaluateConfig(**files, draws=100, **more)

    return made


def result(config):
    return json.loads((Path(config.out) / "evaluation.json").read_text())


def test_figures_and_pictures_are_written_and_gains_are_said_in_words(config, tmp_path, capsys):
    Image.new("RGB", (60, 20), "white").save(tmp_path / "a.png")
    rows = [entry(f"p{at}", [1, 0, 0, at % 2], image_path="a.png") for at in range(12)] + [{"id": "bad"}]
    made = config(rows, baseline=str(tmp_path / "untrained"), title="Sums $x$ [bold]")
    scorers = {"prm": ScriptedScorer(knows_the_answer), "untrained": ScriptedScorer()}
    evaluate(made, lambda path, batch_size: scorers[Path(path).name])
    found = result(made)
    assert found["prm"]["best_of_n"]["min"]["accuracy"] == 1.0
    assert found["prm"]["random"] == pytest.approx(0.375)
    assert found["baseline"]["best_of_n"]["min"]["accuracy"] == pytest.approx(0.375)
    assert "holds zero" in found["baseline"]["best_of_n"]["min"]["note"]
    assert found["num_skipped"] == 1
    for name in PICTURES:
        assert Image.open(Path(made.out) / name).format == "PNG"
    printed = " ".join(capsys.readouterr().out.split())
    assert "Sums $x$ [bold]: 12 problems, 4 candidates each" in printed
    assert "baseline: no difference from random is shown (the interval holds zero) for min, last" in printed
    assert "c.json[12]" in printed.replace(" ", ""), "a long path is broken over lines"


def test_equal_texts_are_scored_once(config):
    twice = entry("p", [1, 0, 0])
    twice["solutions_splits"][2] = twice["solutions_splits"][1]
    scorer = ScriptedScorer(knows_the_answer)
    evaluate(config([twice]), lambda *_: scorer)
    assert len(scorer.asked) == 2


def test_the_same_command_scores_nothing_again_and_says_the_same(config):
    made = config([entry("p", [1, 0]), entry("q", [0, 1])])
    evaluate(made, lambda *_: ScriptedScorer(knows_the_answer))
    first = result(made)
    evaluate(made, lambda *_: pytest.fail("the scorer was opened"))
    assert result(made) == first


def test_a_replaced_checkpoint_is_scored_anew(config):
    made = config([entry("p", [1, 0])])
    evaluate(made, lambda *_: ScriptedScorer(knows_the_answer))
    (Path(made.prm) / "model.safetensors").write_bytes(b"new weights")
    scorer = ScriptedScorer()
    evaluate(made, lambda *_: scorer)
    assert len(scorer.asked) == 2
    assert result(made)["prm"]["best_of_n"]["min"]["accuracy"] == pytest.approx(0.5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_keeps_all_scores_and_the_next_run_scores_the_rest_only(config, number):
    made = config([entry(f"p{at}", [1, 0, 0, 1]) for at in range(10)], batch_size=2)

    def stop_in_the_second_call(item, at):
        if len(stopping.calls) == 2 and item is stopping.asked[-1] and at == 0:
            os.kill(os.getpid(), number)
        return 0.5

    stopping = ScriptedScorer(stop_in_the_second_call)
    handlers = signal.getsignal(number)
    with pytest.raises(Drained, match="16 of 40") as caught:
        evaluate(made, lambda *_: stopping)
    assert caught.value.exit_code == 75
    assert signal.getsignal(number) == handlers
    rest = ScriptedScorer()
    evaluate(made, lambda *_: rest)
    assert len(rest.asked) == 24
    assert not {item.steps for item in rest.asked} & {item.steps for item in stopping.asked}


def test_a_torn_score_file_is_scored_again(config):
    made = config([entry("p", [1, 0])])
    evaluate(made, lambda *_: ScriptedScorer())
    (kept,) = Path(made.out).glob("scores-*.json")
    kept.write_bytes(kept.read_bytes()[:-5])
    scorer = ScriptedScorer()
    evaluate(made, lambda *_: scorer)
    assert len(scorer.asked) == 2


@pytest.mark.parametrize("answer", [[[0.5]], [[0.5, 1.5]], [[0.5, float("nan")]], [[0.5, -0.1]]])
def test_a_model_that_is_no_prm_is_told_so(config, answer):
    scorer = ScriptedScorer()
    scorer.score_many = lambda items: answer * len(items)
    with pytest.raises(ConfigurationError, match="one number in"):
        evaluate(config([entry("p", [1, 0])]), lambda *_: scorer)


def test_solutions_without_steps_are_never_asked_about_and_never_chosen(config):
    row = entry("p", [0, 1])
    row["solutions_splits"][0] = []
    scorer = ScriptedScorer(lambda item, at: 0.0)
    made = config([row])
    evaluate(made, lambda *_: scorer)
    assert [item.steps for item in scorer.asked] == [("try 1 of p", "2")]
    assert result(made)["prm"]["best_of_n"]["product"]["accuracy"] == 1.0
    assert result(made)["num_zero_everywhere"] == 1


def test_step_labels_give_step_level_figures(config, capsys):
    made = config([entry("p", [1, 0], step_labels=[[1, 1], [1, 0]])])
    evaluate(made, lambda *_: ScriptedScorer(knows_the_answer))
    assert result(made)["prm"]["step_level"]["auc"] == 1.0
    assert "within_problem_auc" in capsys.readouterr().out


def test_problems_without_both_kinds_have_no_case_study(config):
    made = config([entry("p", [1, 1]), entry("q", [0, 0])])
    evaluate(made, lambda *_: ScriptedScorer())
    assert not (Path(made.out) / "case_study.png").exists()


def test_a_prm_that_is_no_folder_is_named(config, tmp_path):
    made = config([entry("p", [1, 0])], baseline=str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match="nowhere"):
        evaluate(made, lambda *_: ScriptedScorer())


def test_a_folder_that_is_no_checkpoint_is_refused_by_its_flag_before_torch_is_imported(config, tmp_path):
    made = config([entry("p", [1, 0])])
    words = ["--candidates", *made.candidates, "--prm", made.prm, "--out", made.out]
    asked = "import sys; from omegaprm.evaluator.evaluate import *; from omegaprm.engine import commands\n"
    asked += "try: evaluate(commands.parse(EvaluateConfig, sys.argv[1:], 'evaluate'))\n"
    asked += "except Exception as error: print(error, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    rule = "must be the folder of a Hugging Face checkpoint, with config.json"
    assert done.stdout.strip() == f"--prm {made.prm}: {rule} False", done.stderr


def test_nothing_usable_ends_with_65_before_a_model_is_opened(config):
    with pytest.raises(BadInput, match="no usable entry"):
        evaluate(config([{"id": 1}]), lambda *_: pytest.fail("the scorer was opened"))


def test_a_batch_size_of_none_is_a_usage_error():
    with pytest.raises(UsageError, match="--batch-size 0"):
        EvaluateConfig(candidates=("a",), prm="p", out="o", batch_size=0)


def test_help_answers_without_loading_a_model_library():
    code = "import sys, omegaprm.evaluator.evaluate; print({'torch', 'matplotlib', 'numpy'} & {*sys.modules})"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
    helped = subprocess.run([ROOT / "bin/evaluate", "--help"], capture_output=True, text=True, check=True)
    assert all(f"--{name}" in helped.stdout for name in ("candidates", "prm", "baseline", "out", "image-root"))


def test_a_bad_flag_ends_with_64():
    ended = subprocess.run([ROOT / "bin/evaluate", "--nonsense"], capture_output=True)
    assert ended.returncode == 64


def test_a_second_prm_is_compared_and_chosen_n_are_given(config, tmp_path, capsys):
    made = config(
        [entry(f"p{at}", [1, 0, 0, at % 2]) for at in range(12)], compare=str(tmp_path / "untrained"), at=(2, 4, 9)
    )
    scorers = {"prm": ScriptedScorer(knows_the_answer), "untrained": ScriptedScorer()}
    evaluate(made, lambda path, batch_size: scorers[Path(path).name])
    found = result(made)
    assert found["comparison"]["best_of_n"]["min"]["difference"] == pytest.approx(0.625)
    assert found["comparison"]["best_of_n"]["min"]["note"] == "better"
    assert found["comparison"]["figures"]["best_of_n"]["min"]["accuracy"] == pytest.approx(0.375)
    assert found["prm"]["at_n"]["9"] is None
    assert found["prm"]["at_n"]["4"]["best_of_n"]["min"]["accuracy"] == 1.0
    assert [one["texts"] for one in found["problems"]] == [4] * 12
    printed = " ".join(capsys.readouterr().out.split())
    assert "paired by 12 problems" in printed
    assert "N = 4" in printed


def test_cost_is_told_and_kept_for_the_next_run(config):
    made = config([entry("p", [1, 0])])
    evaluate(made, lambda *_: ScriptedScorer())
    cost = result(made)["prm"]["cost"]
    assert (cost["num_solutions"], cost["num_steps"]) == (2, 4)
    assert cost["seconds"] >= 0


@pytest.mark.parametrize("wrong", [{"at": (0,)}, {"relabel": True}])
def test_wrong_new_flags_are_usage_errors(wrong):
    with pytest.raises(UsageError):
        EvaluateConfig(candidates=("a",), prm="p", out="o", **wrong)
