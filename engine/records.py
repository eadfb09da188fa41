"""What is written and passed on: problems, rollouts, verdicts, estimates, training rows.

A *solution* is a list of steps, the last one holding the final answer. A *state* is a question plus a prefix
of steps. A *rollout* from a state completes it. An *estimate* is a state and rollouts drawn from it; those of one state
are one tree node.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA_VERSION = 1
"""Raised whenever a stored struct changes so that older stores cannot be read."""

Outcome = Literal["correct", "incorrect", "unknown", "truncated", "unparsed"]
"""How a rollout ended. Only correct and incorrect are judged; the others are counted apart (see Counts)."""

PRM_TOKEN = "<prm>"
STEP_SEPARATOR = "\n\n"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A seed problem; image_paths are relative to image_root and never leave it."""

    id: str
    question: str
    correct_answer: str
    image_paths: tuple[str, ...] = ()
    image_root: str = ""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """A judge's word on one answer and the rule that gave it, such as "exact", "number" or "math-verify"."""

    outcome: Literal["correct", "incorrect", "unknown"]
    rule: str


class Rollout(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One sampled completion of a state: its own steps after the prefix, the last one the answer.

    text is kept only where no steps could be read from it (unparsed or truncated), steps are empty then. seams are
    what the policy wrote around its steps, () where that is what the step format asks for (see omegaprm.engine.seams).
    """

    steps: tuple[str, ...]
    outcome: Outcome
    rule: str = ""
    num_tokens: int = 0
    text: str = ""
    seams: tuple[str, ...] = ()


class Counts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Rollouts of one state by outcome. MC(s) = correct / judged, undefined where nothing was judged."""

    correct: int = 0
    incorrect: int = 0
    unknown: int = 0
    truncated: int = 0
    unparsed: int = 0

    @property
    def judged(self) -> int:
        return self.correct + self.incorrect

    @property
    def total(self) -> int:
        return self.judged + self.unknown + self.truncated + self.unparsed

    @property
    def value(self) -> float | None:
        """MC(s) in [0, 1]; None where no rollout was judged."""
        return self.correct / self.judged if self.judged else None

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            *(a + b for a, b in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True))
        )


class Origin(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a state's prefix was cut: the first num_steps steps of a rollout of an earlier estimate."""

    estimate: int
    rollout: int
    num_steps: int


class Estimate(msgspec.Struct, frozen=True):
    """Rollouts of one state, numbered from 0 in the order of the tree's growth; those of the root have no origin.

    A tree made in parts (SearchRule.first_part, confirm_zero) has several estimates of one state. seams are those of
    the prefix, as in Rollout.
    """

    number: int
    origin: Origin | None
    prefix: tuple[str, ...]
    seed: int
    rollouts: tuple[Rollout, ...]
    seams: tuple[str, ...] = ()

    @property
    def counts(self) -> Counts:
        outcomes: list[str] = [rollout.outcome for rollout in self.rollouts]
        return Counts(*(outcomes.count(name) for name in Counts.__struct_fields__))


ProblemState = Literal["open", "done", "quarantined"]


class ProblemRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A problem as the store holds it: open while its tree grows, done or quarantined with the reason."""

    problem: Problem
    state: ProblemState
    reason: str = ""
    image_digests: tuple[str, ...] = ()
    num_searches: int = 0
    num_estimates: int = 0
    num_rollouts: int = 0
    num_tokens: int = 0
    root: Counts = Counts()


class TrainingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One solution with a label a step in [0, 1]; None masks a step out of the loss.

    counts, where known, one a step: (correct, judged) of the rollouts that estimated this very step, None where
    none did. weight: how much the row counts for in the loss.
    """

    id: str
    question: str
    steps: tuple[str, ...]
    labels: tuple[float | None, ...]
    images: tuple[str, ...] = ()
    counts: tuple[tuple[int, int] | None, ...] = ()
    weight: float = 1.0


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """N candidate solutions of one problem, in MM-PRM's rollouts format.

    solutions_splits[i] is the list of steps of candidate i, the last one its answer; labels[i] is 1 where its
    final answer is right, else 0; answers[i] is its final answer as text, "" where it has none.
    """

    id: str
    question: str
    correct_answer: str
    image_path: str | tuple[str, ...] | None = None
    solutions_splits: tuple[tuple[str, ...], ...] = ()
    labels: tuple[int, ...] = ()
    answers: tuple[str, ...] = ()


def process_text(question: str, steps: tuple[str, ...] | list[str]) -> str:
    """What the PRM reads, in training and in evaluation alike: one <prm> behind every step.

    MM-PRM's training text: "Question: Q\\nProcess: step<prm>\\n\\nstep<prm>". Its evaluation leaves the blank
    line out; here there is one form. A <prm> that a question or step spells out itself is left out.
    """
    process = STEP_SEPARATOR.join(step.replace(PRM_TOKEN, "") + PRM_TOKEN for step in steps)
    return f"Question: {question.replace(PRM_TOKEN, '')}\nProcess: {process}"


def parse_process_text(text: str) -> tuple[str, tuple[str, ...]]:
    """The question and steps of a text written by process_text or by MM-PRM; ValueError where it is neither."""
    head, found, process = text.partition("\nProcess: ")
    if not found or not head.startswith("Question: "):
        raise ValueError('expected "Question: ...\\nProcess: ..."')
    *steps, rest = process.split(PRM_TOKEN)
    if rest.strip() or not steps:
        raise ValueError(f"expected every step to end with {PRM_TOKEN}")
    return head.removeprefix("Question: "), tuple(step.removeprefix(STEP_SEPARATOR) for step in steps)
