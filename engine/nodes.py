"""What a tree is made of: states with their counts, the wrong rollouts waiting in them, and a search under way."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, NamedTuple

import msgspec

from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Estimate, Origin

Reason = Literal[
    "too hard", "too easy", "nothing judged", "max searches", "rollout budget", "no incorrect rollout left"
]
"""Why a tree stopped growing; "too hard" and "too easy" are MC(root) = 0 and 1."""

ROOT_DIGEST = b""
DIGEST_BYTES = 8


class Want(NamedTuple):
    """The next estimate: its number, where its prefix is cut from (the root has no origin), and how many rollouts."""

    number: int
    origin: Origin | None
    num: int


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """An incorrect rollout not selected yet. A search holds hundreds, thus digests in one piece and no tracking."""

    num_words: int
    estimate: int
    rollout: int
    digests: bytes

    @property
    def num_steps(self) -> int:
        return len(self.digests) // DIGEST_BYTES

    def digest(self, step: int) -> bytes:
        """Stands for the state after a step, the first being 1."""
        return self.digests[(step - 1) * DIGEST_BYTES : step * DIGEST_BYTES]

    @property
    def end(self) -> int:
        """The digest of all its text."""
        return int.from_bytes(self.digests[-DIGEST_BYTES:], "big")


class FirstError(NamedTuple):
    """A finished search: in this rollout of this estimate, step index (counted without the prefix) is wrong
    and every step before it is right."""

    estimate: int
    rollout: int
    step: int


@dataclass(slots=True)
class Node:
    """One state and its rollouts. candidates are in the order of selection, the best last.

    num counts the rollouts that were asked for here and those of earlier states that are reused. pending are the
    incorrect rollouts of a state that is not held for right; errors the first errors that rest on its being wrong.
    An MC of at most `luck` is taken for that of a wrong state whose rollouts came right by luck.
    """

    digest: bytes
    origin: Origin | None
    correct: int = 0
    judged: int = 0
    num: int = 0
    visits: int = 0
    luck: float = 0.0
    candidates: list[Candidate] = field(default_factory=list)
    pending: tuple[Candidate, ...] = ()
    errors: tuple[FirstError, ...] = ()

    @property
    def value(self) -> float:
        """MC(s); only asked where something was judged."""
        return self.correct / self.judged

    @property
    def is_right(self) -> bool:
        """Whether the steps so far are held for right, since the answer was reached from them, and not by luck."""
        return self.correct > self.luck * self.judged


@dataclass(slots=True)
class Search:
    """A binary search under way: step low of the rollout is known right (0: none), step high known wrong.

    highs are all steps it took for wrong, the latest last: where a further draw saves that state, the one before
    it is high again. node is the index of the state that the rollout was selected at.
    """

    node: int
    candidate: Candidate
    low: int
    highs: list[int]

    @property
    def estimate(self) -> int:
        return self.candidate.estimate

    @property
    def high(self) -> int:
        return self.highs[-1]

    @property
    def middle(self) -> int:
        return (self.low + self.high) // 2

    @property
    def is_over(self) -> bool:
        return self.high - self.low <= 1


@dataclass(slots=True)
class Tree:
    """All that the next decision needs; texts stay in the store. nodes are in the order of their discovery.

    seen holds the ends of all candidates there ever were, in order: a set would take eight times the memory.
    passing, kept where rollouts are reused, counts (correct, judged) of the rollouts that went through a state
    which is no node yet. watch is told after every decision, for those who draw a search; no decision depends on it.
    """

    rule: SearchRule
    nodes: list[Node] = field(default_factory=list)
    node_of: dict[bytes, int] = field(default_factory=dict)
    seen: array[int] = field(default_factory=lambda: array("Q"))
    passing: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    errors: list[FirstError] = field(default_factory=list)
    search: Search | None = None
    num_searches: int = 0
    num_estimates: int = 0
    num_rollouts: int = 0
    want: Want | None = None
    reason: Reason | None = None
    watch: Callable[[Tree], None] | None = None

    @classmethod
    def new(cls, rule: SearchRule) -> Tree:
        return cls(rule, want=Want(0, None, rule.num_rollouts))

    def is_new(self, candidate: Candidate) -> bool:
        """Whether no candidate had this text before; from now on one had."""
        place = bisect_left(self.seen, candidate.end)
        if self.seen[place : place + 1] == array("Q", [candidate.end]):
            return False
        self.seen.insert(place, candidate.end)
        return True

    def node(self, digest: bytes) -> Node | None:
        """The state of a digest, where it is known."""
        index = self.node_of.get(digest)
        return None if index is None else self.nodes[index]


def state_digests(start: bytes, steps: Sequence[str]) -> tuple[bytes, ...]:
    """A digest for the state after each step, chained from the digest of the state they start in."""
    digests = []
    for step in steps:
        start = blake2b(start + b"\0" + step.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()
        digests.append(start)
    return tuple(digests)


def incorrect_rollouts(start: bytes, estimate: Estimate) -> list[Candidate]:
    """Each incorrect rollout of an estimate as a candidate, in the order of sampling."""
    return [
        Candidate(
            num_words=sum(len(step.split()) for step in rollout.steps),
            estimate=estimate.number,
            rollout=index,
            digests=b"".join(state_digests(start, rollout.steps)),
        )
        for index, rollout in enumerate(estimate.rollouts)
        if rollout.outcome == "incorrect"
    ]
