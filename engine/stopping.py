"""How many rollouts a state still needs before the search may go on, pure: from its counts and the rule alone.

Without the flags of this module a state takes num_rollouts (k) at once and is asked for no more. With them:

- first_part: below the root, rollouts come in parts, first_part of them, then as many again as there are, up to k.
  settle_right right rollouts settle MC > 0; a state with fewer, but one, may owe it to luck and takes k. MC = 0 is
  taken on trust after the first part while a search passes through; the state that a search ends at is drawn on up
  to k, and the search goes on above it where a right one turns up. This loses nothing: a step with no way to the
  answer has none after any later step, so that only the earliest MC = 0 of a solution has to be certain. The root
  takes k at once: its wrong rollouts are the solutions to search that surely begin right.
- value_rollouts: a state with MC > 0 takes at least as many, for a sharper value.
- confirm_zero: the state that a search ends at takes as many beyond k before its MC = 0 counts as an error. At
  k = 16 a step whose true value is 0.1 shows no right rollout with probability 0.19, after 16 more with 0.03.
"""

from __future__ import annotations

from typing import Literal

from omegaprm.engine.config import SearchRule
from omegaprm.engine.nodes import Node

Role = Literal["middle", "end"]
"""What a state is asked for: which half of a solution holds its first error; whether that error is this step."""


def num_missing(rule: SearchRule, node: Node, role: Role) -> int:
    """Rollouts to draw next at a state; 0 where what it is asked for is settled."""
    return next_part(rule, node.num) if node.num < _needed(rule, node, role) else 0


def num_spare(rule: SearchRule, node: Node) -> int:
    """Rollouts to draw next at a settled state that has had fewer than k; 0 where there is none."""
    return next_part(rule, node.num) if rule.first_part and node.num < rule.num_rollouts else 0


def next_part(rule: SearchRule, num: int) -> int:
    """The size of the part after the first num rollouts: each part ends at first_part, twice that ... k, beyond k."""
    end = rule.first_part or rule.num_rollouts
    while end <= num and end < rule.num_rollouts:
        end *= 2
    end = min(end, rule.num_rollouts)
    return (end if end > num else rule.num_rollouts + rule.confirm_zero) - num


def may_turn(rule: SearchRule) -> bool:
    """Whether a state with MC = 0 may get further rollouts."""
    return bool(rule.first_part or rule.confirm_zero or rule.reuse_rollouts)


def _needed(rule: SearchRule, node: Node, role: Role) -> int:
    if role == "end" and not node.is_right:
        return rule.num_rollouts + rule.confirm_zero
    if not rule.first_part or not node.judged:
        return rule.num_rollouts
    if not node.is_right:
        return rule.first_part
    return max(rule.value_rollouts, 1) if node.correct >= rule.settle_right else rule.num_rollouts
