"""What a step judge said of a problem's steps, for the pages that show it beside MC; nothing where none was asked."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from omegaprm.engine.opinions import JUDGES, Opinion, StepJudge, opinions_of
from omegaprm.engine.store import Store, unpack
from omegaprm.engine.tree import ROOT_DIGEST, state_digests


class Opinions(msgspec.Struct, frozen=True):
    """One judge's opinions on one problem, by the digest of the state behind the step. judge is "" without any."""

    judge: str = ""
    by_state: dict[bytes, Opinion] = {}

    def after(self, prefix: Sequence[str], steps: Sequence[str]) -> list[bool | None]:
        """Whether the judge took each step behind a prefix for right; None where it was not asked."""
        if not self.by_state:
            return [None] * len(steps)
        start = (ROOT_DIGEST, *state_digests(ROOT_DIGEST, prefix))[-1]
        found = [self.by_state.get(digest) for digest in state_digests(start, steps)]
        return [None if opinion is None else opinion.is_right for opinion in found]


def read_opinions(store: Store, problem_id: str) -> Opinions:
    """Those of the judge that has replied most, where a store holds those of several."""
    judges = [unpack(value, StepJudge) for _, value in store.scan("meta", JUDGES)]
    if not judges:
        return Opinions()
    judge = max(judges, key=lambda each: (each.num_replies, each.model)).model
    return Opinions(judge, opinions_of(store, problem_id, judge))
