"""Bad rows, images, answers and texts: set aside with a reason or used, and the others go on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from omegaprm.engine.store import Store, problem_key
from tests.fakes.annotate import Script
from tests.faults.daemon import Job, command, exported

pytestmark = pytest.mark.family("input")

MAX_RESIDENT_BYTES = 1 << 30
"""Of the daemon or any process it waited for."""


def test_bad_rows_are_named_and_the_rest_is_done(job: Job, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(
        '{"id": "good", "question": "What is 3?", "correct_answer": 3}\n'
        "this is not JSON\n"
        '{"question": "no id", "correct_answer": 1}\n'
        '{"id": "good", "question": "again", "correct_answer": 1}\n'
        '{"id": "lost", "question": "image?", "correct_answer": 1, "image_path": "nowhere.png"}\n'
        '{"id": "out", "question": "image?", "correct_answer": 1, "image_path": "../../etc/passwd"}\n'
        '{"id": "empty", "question": "answer?", "correct_answer": ""}\n'
    )
    code, said = job.run(tmp_path / "store", seeds=seeds)
    assert code == 0, said
    for line in range(2, 8):
        assert f"seeds.jsonl:{line}:" in said, said
    assert "6 seed rows rejected" in said
    code, said = command("status", tmp_path / "store", "--json")
    assert json.loads(said)["problems"]["done"] == 1


def test_no_usable_row_ends_with_65(job: Job, tmp_path: Path) -> None:
    (tmp_path / "seeds.json").write_text('[{"id": "a"}]')
    code, said = job.run(tmp_path / "store", seeds=tmp_path / "seeds.json")
    assert code == 65, said
    assert "Traceback" not in said


def make_images(folder: Path) -> tuple[list[str], list[str]]:
    """(names that are used, names that are refused), one of each kind."""
    small = Image.new("RGB", (8, 8), "red")
    small.save(folder / "good.png")
    small.save(folder / "really-a-png.jpg", "PNG")
    small.convert("CMYK").save(folder / "cmyk.jpg")
    small.save(folder / "animated.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")])
    Image.new("I;16", (8, 8), 40_000).save(folder / "deep.png")
    whole = (folder / "good.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    (folder / "zero.png").write_bytes(b"")
    (folder / "text.png").write_text("<svg onload='alert(1)'/>")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder.parent / "outside.png").write_bytes(whole)
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    used = ["good.png", "really-a-png.jpg", "cmyk.jpg", "animated.gif", "deep.png"]
    refused = ["truncated.png", "bomb.png", "zero.png", "text.png", "folder.png", "pipe.png", "link.png", "gone.png"]
    return used, [*refused, "../outside.png", "a\0.png"]


def test_every_kind_of_bad_image_is_set_aside_and_every_odd_one_is_used(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    used, refused = make_images(folder)
    rows = [
        {"id": name, "question": "What is it?", "correct_answer": at, "image_path": name}
        for at, name in enumerate([*used, *refused])
    ]
    (folder / "seeds.json").write_text(json.dumps(rows, indent=0))
    code, said = job.run(tmp_path / "store", seeds=folder / "seeds.json")
    assert code == 0, said
    assert f"{len(refused)} seed rows rejected" in said
    assert "Traceback" not in said
    found = json.loads(command("status", tmp_path / "store", "--json")[1])
    assert found["problems"] == {"open": 0, "done": len(used), "quarantined": 0}
    assert {row["id"] for row in found["rejected"]} == set(refused)
    assert all(row["field"] == "image_path" for row in found["rejected"])


TEXTS = {
    "emoji-\U0001f600": "combining e\u0301, \u00e9, \U0001d54f and a family \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "nul-\0": "before\0after",
    "right-to-left-\u202e": "\u05de\u05d4 \u05d6\u05d4 3+4? \u0645\u0627 \u2067hidden\u2069",
    "steers-\x1b[2J": "a bell \a, a tab \t and <script>alert(1)</script>",
    "x" * 2000: "an id longer than a key may be",
}


def test_texts_of_every_kind_come_out_as_they_went_in(job: Job, tmp_path: Path) -> None:
    rows = [{"id": id, "question": text, "correct_answer": at} for at, (id, text) in enumerate(TEXTS.items())]
    (tmp_path / "seeds.json").write_text(json.dumps(rows))
    code, said = job.run(tmp_path / "store", seeds=tmp_path / "seeds.json")
    assert code == 0, said
    with Store.open_reader(tmp_path / "store") as store:
        assert all(store.get("problems", problem_key(id)) for id in TEXTS)
    lines = [json.loads(line) for line in exported(tmp_path / "store", tmp_path / "out")[0].splitlines()]
    assert lines
    for line in lines:
        text: Any = line["conversations"][0]["value"]
        assert text.startswith(f"Question: {TEXTS[line['id'].rpartition('#')[0]]}\nProcess: ")
    code, said = command("status", tmp_path / "store", "--verify")
    assert code == 0, said
    assert "\x1b" not in said


def test_answers_that_choke_a_careless_judge_cost_neither_time_nor_memory(job: Job, tmp_path: Path) -> None:
    rows = [{"id": f"p{at}", "question": f"What is {at}?", "correct_answer": f"{at}"} for at in range(4)]
    (tmp_path / "seeds.json").write_text(json.dumps(rows))
    flags = ("--rollout-budget", "64", "--math-verify-seconds", "2", "--stall-seconds", "5")
    daemon = job.start(tmp_path / "store", *flags, seeds=tmp_path / "seeds.json", script=Script(bombs=True))
    code, said = daemon.end()
    assert code == 0, said[-2000:]
    assert daemon.process.max_resident_bytes < MAX_RESIDENT_BYTES
    assert "stood still" not in said
    found = json.loads(command("status", tmp_path / "store", "--json", "--verify")[1])
    assert found["problems"] == {"open": 0, "done": len(rows), "quarantined": 0}
    assert found["outcomes"]["unknown"] > 0
