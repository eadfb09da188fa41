"""Opinions of step judges, kept in the store beside the counts: one a judge and step, whatever led to the asking.

They lie in the table "meta": "step-judges/" and a digest names a judge and what it cost; "opinions/", the problem's
key, the digest of the state behind the step and that of the judge hold one opinion.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.store import Store, Write, pack, problem_key, unpack

JUDGES = b"step-judges/"
OPINIONS = b"opinions/"
JUDGE_BYTES = 8

PROMPT_VERSION = 1
"""Raised when the step prompt changes: opinions given to the older one are then not found."""


class Opinion(msgspec.Struct, frozen=True, array_like=True):
    """Whether a step is right, given the question and the steps before it."""

    is_right: bool


class StepJudge(msgspec.Struct, frozen=True, kw_only=True):
    """A judge and what all runs with it have cost."""

    model: str
    prompt_version: int = PROMPT_VERSION
    num_requests: int = 0
    num_replies: int = 0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0


def judge_digest(model: str, prompt_version: int = PROMPT_VERSION) -> bytes:
    """What stands for a judge in keys."""
    return blake2b(f"{prompt_version} {model}".encode(), digest_size=JUDGE_BYTES).digest()


def write_judge(judge: StepJudge) -> Write:
    return Write("meta", JUDGES + judge_digest(judge.model, judge.prompt_version), pack(judge))


def stored_judge(store: Store, model: str) -> StepJudge:
    """The judge with its cost so far; all zero where it was never asked."""
    value = store.get("meta", JUDGES + judge_digest(model))
    return StepJudge(model=model) if value is None else unpack(value, StepJudge)


def write_opinion(problem_id: str, state: bytes, model: str, opinion: Opinion) -> Write:
    return Write("meta", OPINIONS + problem_key(problem_id) + state + judge_digest(model), pack(opinion))


def opinions_of(store: Store, problem_id: str, model: str) -> dict[bytes, Opinion]:
    """A judge's opinions on a problem's steps, by the digest of the state behind the step."""
    head, tail = OPINIONS + problem_key(problem_id), judge_digest(model)
    found = store.scan("meta", head)
    return {key[len(head) : -JUDGE_BYTES]: unpack(value, Opinion) for key, value in found if key.endswith(tail)}


def only_judge(stores: Iterable[Store], named: str | None) -> str:
    """The judge whose opinions count: the one named, or the only one there is. ConfigurationError otherwise."""
    models = sorted({unpack(value, StepJudge).model for store in stores for _, value in store.scan("meta", JUDGES)})
    if named is not None and named not in models:
        raise ConfigurationError(f"--judge-model {named}: the stores hold those of {', '.join(models) or 'none'}")
    if named is not None:
        return named
    if not models:
        raise ConfigurationError("the stores hold no opinions on steps: run bin/judge-steps first")
    if len(models) > 1:
        raise ConfigurationError(f"--judge-model: must name one of the judges in the stores: {', '.join(models)}")
    return models[0]
