"""bin/case-study writes what its file's ending says, shows text as text, and scores nothing twice."""

import msgspec
import pytest
from PIL import Image

from omegaprm.engine.errors import BadInput, UsageError
from omegaprm.evaluator.case_command import CaseStudyConfig, case_study
from tests.evaluator.problems import problem
from tests.fakes.scorer import ScriptedScorer

HOSTILE = "<script>alert(1)</script> <img src=x onerror=alert(2)> $x"


@pytest.fixture
def flags(tmp_path):
    Image.new("RGB", (30, 20), "teal").save(tmp_path / "teal.png")
    rows = [
        msgspec.structs.replace(
            problem([1, 0], id="a", steps=[["s", HOSTILE], ["t", HOSTILE]]), question=HOSTILE, image_path="teal.png"
        ),
        problem([1, 0], id="b", steps=[["u"], ["v"]]),
        problem([1, 1], id="c", steps=[["w"], ["x"]]),
    ]
    (tmp_path / "candidates.json").write_bytes(msgspec.json.encode(rows))
    (tmp_path / "prm").mkdir()
    return {"candidates": (str(tmp_path / "candidates.json"),), "prm": str(tmp_path / "prm")}


@pytest.mark.parametrize(("ending", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("html", b"<!doctype html>")])
def test_the_ending_says_what_is_written(flags, tmp_path, ending, head):
    out = tmp_path / f"case.{ending}"
    case_study(CaseStudyConfig(**flags, out=str(out)), ScriptedScorer())
    assert out.read_bytes().startswith(head)


def test_the_page_shows_text_as_text_and_loads_nothing(flags, tmp_path):
    out = tmp_path / "case.html"
    case_study(CaseStudyConfig(**flags, out=str(out)), ScriptedScorer(lambda item, at: 0.25))
    page = out.read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "<img src=x" not in page
    assert 'src="data:image/png' in page
    assert "0.25" in page


def test_only_the_problem_asked_for_is_scored_and_only_once(flags, tmp_path):
    scorer = ScriptedScorer()
    for ending in ("html", "svg"):
        case_study(CaseStudyConfig(**flags, id="b", out=str(tmp_path / f"case.{ending}")), scorer)
    assert sorted(item.steps for item in scorer.asked) == [("u",), ("v",)]


@pytest.mark.parametrize("name", ["c", "nobody"])
def test_a_problem_without_both_kinds_is_named(flags, tmp_path, name):
    with pytest.raises(BadInput, match=name):
        case_study(CaseStudyConfig(**flags, id=name, out=str(tmp_path / "case.png")), ScriptedScorer())


def test_another_ending_is_refused():
    with pytest.raises(UsageError, match=r"--out x\.pdf"):
        CaseStudyConfig(candidates=("c",), prm="p", out="x.pdf")
