"""One line of a rows file becomes training rows, in whichever of the known layouts it is written, or is Broken.

MM-PRM      {"id", "image", "conversations": [human, gpt]}
its draft   {"question", "process", "labels", "image_path"}, which MM-PRM samples from its trees and makes rows of
TRL         {"prompt", "completions": [step, ...], "labels": [true | false | number | null, ...]}
PRM800K     {"question": {"problem"}, "label": {"steps": [{"completions", "human_completion", "chosen_completion"}]}}

All but PRM800K's may carry "counts", [[correct, judged] | null, ...] one a step, and "weight", a number above 0.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine.image_paths import ImageError, resolve
from omegaprm.engine.records import PRM_TOKEN, TrainingRow, parse_process_text

IMAGE_PLACEHOLDER = "<image>\n"
"""What InternVL's own rows begin with, once an image; the chat template decides here."""

RATINGS = {-1: 0.0, 0: 1.0, 1: 1.0}
"""PRM800K's ratings as labels: a neutral step is not wrong (arXiv 2305.20050, section 2.4)."""


Layout = Callable[[dict[str, Any], Path], TrainingRow]
"""(object of a line, image root) -> row. Broken."""


class Broken(Exception):
    """A line breaks a rule: (field, rule)."""


def parse(line: bytes, root: Path) -> list[TrainingRow]:
    """The rows of one line, at least one; images as absolute paths under root. Broken where it cannot be used."""
    try:
        content = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Broken("line", f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise Broken("line", "must be a JSON object")
    if isinstance(content.get("label"), dict):
        return prm800k_rows(content)
    layout = _layout(content)
    row = layout(content, root)
    if all(label is None for label in row.labels):
        raise Broken(_LABELS[layout], "at least one label must not be null")
    return [row]


def _layout(content: dict[str, Any]) -> Layout:
    if "completions" in content:
        return trl_row
    return draft_row if "process" in content else mmprm_row


def mmprm_row(content: dict[str, Any], root: Path) -> TrainingRow:
    human, labels = _turns(content.get("conversations"))
    while human.startswith(IMAGE_PLACEHOLDER):
        human = human.removeprefix(IMAGE_PLACEHOLDER)
    try:
        question, steps = parse_process_text(human)
    except ValueError as error:
        raise Broken("conversations[0].value", str(error)) from error
    if len(labels) != len(steps):
        rule = f"{len(labels)} labels for {len(steps)} {PRM_TOKEN}: there must be one label a step"
        raise Broken("conversations[1].value", rule)
    return _made(content, root, question, steps, _numbers(labels, "conversations[1].value"))


def draft_row(content: dict[str, Any], root: Path) -> TrainingRow:
    question, process, labels = (content.get(name) for name in ("question", "process", "labels"))
    if not isinstance(question, str) or not question:
        raise Broken("question", "must be text, not empty")
    try:
        _, steps = parse_process_text(f"Question: \nProcess: {process if isinstance(process, str) else ''}")
    except ValueError as error:
        raise Broken("process", str(error)) from error
    if not isinstance(labels, list) or len(labels) != len(steps):
        raise Broken("labels", f"must be a list of {len(steps)} labels, one per {PRM_TOKEN}")
    return _made({"image": content.get("image_path"), **content}, root, question, steps, _numbers(labels, "labels"))


def trl_row(content: dict[str, Any], root: Path) -> TrainingRow:
    prompt, steps, labels = (content.get(name) for name in ("prompt", "completions", "labels"))
    if not isinstance(prompt, str) or not prompt:
        raise Broken("prompt", "must be text, not empty")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) for step in steps):
        raise Broken("completions", "must be a list of steps, not empty")
    if not isinstance(labels, list) or len(labels) != len(steps):
        raise Broken("labels", f"must be a list of {len(steps)} labels, one a step")
    numbers = [float(label) if isinstance(label, bool) else label for label in labels]
    return _made(content, root, prompt, tuple(steps), _numbers(numbers, "labels"))


_LABELS: dict[Layout, str] = {mmprm_row: "conversations[1].value", draft_row: "labels", trl_row: "labels"}


def prm800k_rows(content: dict[str, Any]) -> list[TrainingRow]:
    """The chosen solution, and one row for each other rated completion, behind steps that are left out.

    A last step without a choice is where an error was found: its first completion belongs to the solution.
    """
    question = content.get("question")
    problem = question.get("problem") if isinstance(question, dict) else None
    if not isinstance(problem, str) or not problem:
        raise Broken("question.problem", "must be text, not empty")
    label = content["label"]
    if label.get("finish_reason") == "bad_problem":
        raise Broken("label.finish_reason", "'bad_problem' is left out")
    steps = label.get("steps")
    if not isinstance(steps, list) or not steps:
        raise Broken("label.steps", "must be a list, not empty")
    path: list[str] = []
    labels: list[float | None] = []
    others: list[TrainingRow] = []
    for at, step in enumerate(steps):
        text, rating, alternatives = _prm800k_step(step, f"label.steps[{at}]")
        for other, its_rating in alternatives:
            masked = (*[None] * len(path), its_rating)
            others.append(TrainingRow(id="", question=problem, steps=(*path, other), labels=masked))
        path.append(text)
        labels.append(rating)
    main = TrainingRow(id="", question=problem, steps=tuple(path), labels=tuple(labels))
    rows = [main, *others] if any(rating is not None for rating in labels) else others
    if not rows:
        raise Broken("label.steps", "at least one completion must have a rating")
    return rows


def _prm800k_step(step: Any, where: str) -> tuple[str, float | None, list[tuple[str, float]]]:
    """Text and label of the step that the solution took, and the rated completions beside it."""
    completions = step.get("completions") if isinstance(step, dict) else None
    rated = [_rated(one, f"{where}.completions[{at}]") for at, one in enumerate(completions or [])]
    human = step.get("human_completion") if isinstance(step, dict) else None
    chosen = step.get("chosen_completion") if isinstance(step, dict) else None
    if chosen is None and human:
        text = human.get("text") if isinstance(human, dict) else human
        if not isinstance(text, str):
            raise Broken(f"{where}.human_completion", "must be text")
        return text, 1.0, [(other, label) for other, label in rated if label is not None]
    taken = 0 if chosen is None else chosen
    if not isinstance(taken, int) or not 0 <= taken < len(rated):
        raise Broken(f"{where}.chosen_completion", f"{chosen!r} must be one of {len(rated)} completions")
    others = [(other, label) for at, (other, label) in enumerate(rated) if at != taken and label is not None]
    return *rated[taken], others


def _rated(completion: Any, where: str) -> tuple[str, float | None]:
    if not isinstance(completion, dict) or not isinstance(completion.get("text"), str):
        raise Broken(where, "must have a text")
    rating = completion.get("rating")
    if rating is not None and rating not in RATINGS:
        raise Broken(f"{where}.rating", f"{rating!r} must be -1, 0, 1 or null")
    return completion["text"], None if rating is None else RATINGS[rating]


def _made(
    content: dict[str, Any], root: Path, question: str, steps: tuple[str, ...], labels: tuple[float | None, ...]
) -> TrainingRow:
    return TrainingRow(
        id=str(content.get("id", "")),
        question=question,
        steps=steps,
        labels=labels,
        images=_images(content.get("image", content.get("images")), root),
        counts=_counts(content.get("counts"), len(steps)),
        weight=_weight(content.get("weight", 1.0)),
    )


def _turns(turns: Any) -> tuple[str, list[Any]]:
    if not isinstance(turns, list) or len(turns) != 2 or not all(isinstance(turn, dict) for turn in turns):
        raise Broken("conversations", "must be a list of two turns, human and gpt")
    if [turn.get("from") for turn in turns] != ["human", "gpt"]:
        raise Broken("conversations", "the turns must be from human and from gpt")
    human, labels = (turn.get("value") for turn in turns)
    if not isinstance(human, str):
        raise Broken("conversations[0].value", "must be text")
    if not isinstance(labels, list):
        raise Broken("conversations[1].value", "must be a list of labels")
    return human, labels


def _numbers(labels: list[Any], where: str) -> tuple[float | None, ...]:
    for at, label in enumerate(labels):
        if label is not None and not (_is_number(label) and 0 <= label <= 1):
            raise Broken(f"{where}[{at}]", f"{label!r} must be in [0, 1] or null")
    return tuple(None if label is None else float(label) for label in labels)


def _counts(value: Any, num_steps: int) -> tuple[tuple[int, int] | None, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) != num_steps:
        raise Broken("counts", f"must be a list of {num_steps} pairs [correct, judged] or null, one a step")
    for at, pair in enumerate(value):
        is_pair = isinstance(pair, list) and len(pair) == 2 and all(type(part) is int for part in pair)
        if pair is not None and not (is_pair and 0 <= pair[0] <= pair[1] and pair[1] > 0):
            raise Broken(f"counts[{at}]", f"{pair!r} must be [correct, judged] with correct <= judged, or null")
    return tuple(None if pair is None else (pair[0], pair[1]) for pair in value)


def _weight(value: Any) -> float:
    if not _is_number(value) or not 0 < value < float("inf"):
        raise Broken("weight", f"{value!r} must be a number above 0")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _images(value: Any, root: Path) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) and value else value or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Broken("image", "must be a path, a list of paths, or null")
    try:
        return tuple(str(resolve(root, name)) for name in names)
    except ImageError as error:
        raise Broken("image", str(error)) from error
