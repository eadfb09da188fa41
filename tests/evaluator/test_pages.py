"""The report stands alone, and hostile text in it stays text."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest

from omegaprm.evaluator.best_of_n import figures
from omegaprm.evaluator.pages import Family, Picture, Report, Table, cell, render, write_report
from omegaprm.evaluator.tree_picture import colour, tree_svg
from tests.evaluator.problems import problem

HOSTILE = "<script>alert(1)</script><svg onload=alert(2)>\"' onerror='x' {{ 7*7 }} </style>"


def report(text="plain"):
    found = figures([problem([1, 0]), problem([0, 1], id="q")], [[[0.9], [0.1]], [[0.2], [0.6]]], draws=50)
    table = Table(headings=(text, "F1"), rows=((text, 0.5), (None, 3)), caption=text)
    picture = Picture(png=b"\x89PNG", caption=text, alt=text)
    return Report(
        title=text,
        summary=(text,),
        families=(
            Family(name=text, figures=found, baseline=found, pictures=(picture,)),
            Family(name="text", figures=found),
        ),
        label_quality=table,
        step_quality=table,
        trees=(Picture(svg=tree_svg([node(0, None, 0, text)]), caption=text),),
        cost=table,
        versions={text: text},
        notes=(text,),
    )


def node(number, parent, depth, label="", correct=1, judged=2):
    return dict(number=number, parent=parent, depth=depth, correct=correct, judged=judged, label=label)


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.text = [], ""

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def parsed(page):
    elements = Elements()
    elements.feed(page)
    return elements


def test_hostile_text_adds_no_element_and_no_attribute():
    plain, hostile = parsed(render(report())), parsed(render(report(HOSTILE)))
    shape = [(tag, sorted(attributes)) for tag, attributes in plain.found]
    assert [(tag, sorted(attributes)) for tag, attributes in hostile.found] == shape
    assert hostile.text.count("{{ 7*7 }}") == plain.text.count("plain")
    assert "49" not in hostile.text.replace("0.49", "")


def test_nothing_is_loaded_and_nothing_runs():
    page = parsed(render(report()))
    addresses = [attributes[name] for _, attributes in page.found for name in ("src", "href") if name in attributes]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.found}
    assert not re.search(r"url\(|@import", render(report()))


def test_every_link_of_the_page_leads_to_a_section():
    page = parsed(render(report()))
    ids = {"#" + attributes["id"] for _, attributes in page.found if "id" in attributes}
    links = {attributes["href"] for tag, attributes in page.found if tag == "a"}
    assert links == ids


def test_the_table_holds_all_figures_with_intervals_and_words():
    text = parsed(render(report())).text
    for name in ("random", "majority vote", "weighted vote", "min", "sum_logits", "mean_odd", "untrained"):
        assert name in text
    assert "better than random" in text
    assert "100.0 % [100.0, 100.0]" in text


def test_empty_sections_are_left_out():
    text = parsed(render(Report(title="Empty"))).text
    assert not any(heading in text for heading in ("Best-of-N", "Trees", "Cost", "Notes", "Versions"))


def test_a_mapping_does_as_well_and_one_without_title_is_refused(tmp_path):
    path = tmp_path / "new" / "index.html"
    picture = {"png": b"\x89PNG", "caption": "c"}
    write_report(path, {"title": "From a mapping", "notes": ["one"], "trees": [picture]})
    assert "From a mapping" in path.read_text()
    with pytest.raises(msgspec.ValidationError, match="title"):
        write_report(path, {})


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.8621, "0.862"), (812.4, "812"), (90.0, "90.0"), (1234567, "1,234,567")],
)
def test_numbers_are_shown_as_long_as_they_mean_something(value, shown):
    assert cell(value) == shown


def test_a_tree_is_well_formed_whatever_its_labels_and_prints_every_value():
    nodes = [node(0, None, 0, HOSTILE), node(1, 0, 2, "\x00\x1b]]>&", 0, 16), node(2, 0, 1, "é" * 99, 0, 0)]
    svg = tree_svg(nodes)
    root = ElementTree.fromstring(svg)
    words = " ".join(root.itertext())
    assert "1/2 = 0.50" in words
    assert "0/16 = 0.00" in words
    assert "nothing judged" in words
    assert {element.tag.split("}")[1] for element in root.iter()} == {
        "svg",
        "rect",
        "path",
        "g",
        "title",
        "text",
    }


def test_boxes_of_a_tree_never_overlap():
    nodes = [node(0, None, 0), *(node(at, (at - 1) // 3, 1 + len(f"{at:b}")) for at in range(1, 30))]
    boxes = [g.find("{*}rect") for g in ElementTree.fromstring(tree_svg(nodes)).iter("{http://www.w3.org/2000/svg}g")]
    places = [(float(box.get("x")), float(box.get("y"))) for box in boxes]
    for at, (x, y) in enumerate(places):
        for other_x, other_y in places[:at]:
            assert abs(x - other_x) >= 158 or abs(y - other_y) >= 38


def test_a_deep_tree_and_a_lost_parent_are_drawn():
    assert tree_svg([node(at, at - 1 if at else None, at) for at in range(3000)])
    assert tree_svg([node(5, 4, 3)])


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        ([], "at least one"),
        ([node(0, None, 0)] * 2, "number of its own"),
        ([node(0, 1, 0), node(1, 0, 1)], "circle"),
    ],
)
def test_what_is_no_tree_is_refused(nodes, rule):
    with pytest.raises(ValueError, match=rule):
        tree_svg(nodes)


def test_colours_run_from_end_to_end():
    assert [colour(value) for value in (0.0, 0.5, 1.0, None)] == ["#e88d67", "#f4e9cd", "#7fb7d9", "#e6e8eb"]
