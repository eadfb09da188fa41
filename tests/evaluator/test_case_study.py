"""The case shown is the median one, and any text or image can be drawn."""

import io

import pytest
from PIL import Image

from omegaprm.evaluator.case_picture import MAX_STEPS, case_picture, wrapped
from omegaprm.evaluator.case_study import Case, Told, find_case
from tests.evaluator.problems import problem


def test_the_median_problem_by_the_gap_of_weakest_steps_is_chosen():
    problems = [problem([1, 0], id=name, steps=[[f"right {name}"], [f"wrong {name}"]]) for name in "abc"]
    scores = [[[0.9], [0.1]], [[0.6], [0.5]], [[0.2], [0.9]]]
    case = find_case(problems, scores, [(), (), ()])
    assert case.right == Told(("right b",), (0.6,))
    assert case.wrong == Told(("wrong b",), (0.5,))


def test_problems_with_an_image_go_first():
    problems = [problem([1, 0], id=name) for name in "ab"]
    case = find_case(problems, [[[0.9], [0.1]], [[0.5], [0.5]]], [(), ("/x.png",)])
    assert case.images == ("/x.png",)


def test_there_is_no_case_without_both_kinds_of_solutions():
    assert find_case([problem([1, 1]), problem([0])], [[[0.5], [0.5]], [[0.5]]], [(), ()]) is None


def size_of(png):
    return Image.open(io.BytesIO(png)).size


@pytest.mark.parametrize(
    "text", ["$x$ and $", r"\frac{1}{", "", "a" * 5000, "\x00\x07\n", "<b>&</b>", "漢字 \U0001f600"]
)
@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
def test_any_text_can_be_drawn(text):
    told = Told((text, text), (0.0, 1.0))
    width, height = size_of(case_picture(Case(text, text, (), told, told)))
    assert width > height > 100


def test_long_solutions_are_cut_so_that_the_picture_stays_bounded():
    long, short = Told(("step",) * 500, (0.5,) * 500), Told(("step",) * MAX_STEPS, (0.5,) * MAX_STEPS)
    heights = [size_of(case_picture(Case("q", "1", (), told, told)))[1] for told in (long, short)]
    assert 0 < heights[0] - heights[1] < 100
    assert len("".join(wrapped("b" * 9000, 50))) < 300


def test_images_of_any_shape_and_unreadable_ones_are_drawn(tmp_path):
    told = Told(("s",), (0.5,))
    paths = []
    for at, shape in enumerate([(900, 10), (10, 900), (56, 56)]):
        paths.append(str(tmp_path / f"{at}.png"))
        Image.new("L", shape).save(paths[-1])
    (tmp_path / "bad.png").write_text("no image")
    for images in (tuple(paths), (str(tmp_path / "bad.png"), str(tmp_path / "gone.png"))):
        assert size_of(case_picture(Case("q", "1", images, told, told)))[0] > 100
