"""Small problems for the tests of this folder."""

from omegaprm.engine.records import Candidates


def problem(labels, answers=None, id="p", steps=None):
    """A problem whose candidates have one step each, unless steps are given."""
    steps = steps or [[f"step of candidate {at}"] for at in range(len(labels))]
    answers = answers if answers is not None else [f"{at}" for at in range(len(labels))]
    return Candidates(
        id=id,
        question="Which?",
        correct_answer="1",
        solutions_splits=tuple(map(tuple, steps)),
        labels=tuple(labels),
        answers=tuple(answers),
    )
