"""A process that compares answers by math-verify: length-prefixed msgpack frames in, outcomes out.

Run as `python -m omegaprm.engine.judge.math_worker MAX_BYTES` by omegaprm.engine.judge.math_rule, which kills it past a
deadline. It ends with its input and dies with its parent, and its memory is bounded.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import resource
import signal
import struct
import sys
from functools import lru_cache
from typing import Any, BinaryIO

import msgspec

from omegaprm.engine.judge import grammar, kinds, magnitude

READY = "ready"
MAX_REFERENCES = 512
"""References that a process keeps parsed."""

_PR_SET_PDEATHSIG = 1
_DECIMAL = re.compile(r"-?(?=\d{2}|\d\.\d\d)\d+\.(\d{1,50})")
"""With three digits at least."""


def compare(reference: str, answer: str) -> str:
    """The outcome of comparing two formulas.

    "correct", "incorrect"; "unread" where one is no mathematics; "rounded" where the answer is a decimal that
    only rounds the reference or cuts it off; "too-large" where a number cannot be worked with; "failed" where
    math-verify fails.
    """
    try:
        magnitude.check_nesting(reference)
        magnitude.check_nesting(answer)
        wanted, given = _parse_reference(reference), _parse(answer)
        if not wanted or not given:
            return "unread"
        for expression in (*wanted, *given):
            magnitude.check(expression)
        alike = kinds.same(wanted[0], given[0], reference, answer)
        if alike is not None:
            return "correct" if alike else "incorrect"
        if _verified(wanted, given):
            return "correct"
        if _is_symbol(given[0], wanted[0]) or _rounds(given[0], reference):
            return "correct"
        return "rounded" if _rounds(wanted[0], answer) or _cuts(wanted[0], answer) else "incorrect"
    except magnitude.TooLarge:
        return "too-large"
    except Exception:
        # Whatever sympy, the grammar or the memory bound raises: it says nothing about the answer.
        return "failed"


def _verified(wanted: list[Any], given: list[Any]) -> bool:
    from math_verify import verify

    return bool(verify(wanted, given, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True))


def _is_symbol(value: Any, symbol: Any) -> bool:
    """Whether a formula simplifies to a lone variable, which math-verify compares by name alone: 2x/2 is x."""
    return bool(getattr(symbol, "is_Symbol", False) and getattr(value, "is_Mul", False) and value.simplify() == symbol)


def _rounds(value: Any, decimal: str) -> bool:
    """Whether a real number rounded to as many places is the written decimal: sqrt(2) is 1.41, not 1.42."""
    scaled = _in_places(value, decimal)
    return scaled is not None and bool(2 * abs(scaled[0] - scaled[1]) < 1)


def _cuts(value: Any, decimal: str) -> bool:
    """Whether a real number's further places left off give the written decimal: 0.42 for 3 - sqrt(6.63)."""
    scaled = _in_places(value, decimal)
    return scaled is not None and bool(scaled[0] * scaled[1] >= 0 and 0 <= abs(scaled[0]) - abs(scaled[1]) < 1)


def _in_places(value: Any, decimal: str) -> tuple[Any, int] | None:
    """Both in units of the decimal's last place; None where one is no such number."""
    match = _DECIMAL.fullmatch(decimal)
    if not match or not getattr(value, "is_number", False) or not value.is_real:
        return None
    return value * 10 ** len(match[1]), int(decimal.replace(".", ""))


def _parse(text: str) -> list[Any]:
    """The expressions that math-verify reads from the whole text as one LaTeX formula."""
    from math_verify import LatexExtractionConfig, parse

    parsed: list[Any] = parse(
        f"${text}$",
        extraction_config=[LatexExtractionConfig()],
        fallback_mode="no_fallback",
        parsing_timeout=None,
        raise_on_error=True,
    )
    return parsed


@lru_cache(maxsize=MAX_REFERENCES)
def _parse_reference(text: str) -> list[Any]:
    """A problem has many answers and one reference."""
    return _parse(text)


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer (reference, answer) frames one by one until the input ends."""
    import math_verify  # noqa: F401

    grammar.read_in_two_stages()
    if compare("x+x", "2x") != "correct":
        raise SystemExit("math-verify fails on x + x = 2x")
    _write(replies, READY)
    while len(header := requests.read(4)) == 4:
        (size,) = struct.unpack(">I", header)
        reference, answer = msgspec.msgpack.decode(requests.read(size), type=tuple[str, str])
        _write(replies, compare(reference, answer))


def _write(replies: BinaryIO, outcome: str) -> None:
    body = msgspec.msgpack.encode(outcome)
    replies.write(struct.pack(">I", len(body)) + body)
    replies.flush()


def _live_with_parent() -> None:
    """Leave signals to the parent, and ask Linux for a kill when it dies, however it dies."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(name, signal.SIG_IGN)
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise SystemExit(0)


def main(max_bytes: int) -> None:
    _live_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
    logging.disable()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main(int(sys.argv[1]))
