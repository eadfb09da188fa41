"""The table of docs/scaling.md is what its formulas give."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "scaling.md").read_text()
SCALE = {"thousand": 1e3, "million": 1e6, "GB": 1e9, "TB": 1e12, "hours": 1.0, "days": 24.0, "years": 24 * 365.0}


def rows(heading: str) -> list[list[str]]:
    lines = TEXT.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(heading))
    body = lines[start + 2 :]
    return [line.strip("| ").split(" | ") for line in body[: body.index("")]]


def number(text: str) -> float:
    found = re.match(r"([\d.,]+(?:e\d+)?)\s*(\w*)", text)
    assert found, text
    return float(found[1].replace(",", "").rstrip(".")) * SCALE.get(found[2], 1.0)


def test_the_costs_follow_from_the_assumptions():
    r, t, v, a, u = (number(cells[2]) for cells in rows("| | stands for"))
    for cells in rows("| problems | rollouts"):
        problems, *given = map(number, cells)
        rollouts, tokens = problems * r, problems * r * t
        hours = tokens / v / 3600
        wanted = [rollouts, tokens, hours, hours / 8, rollouts * (4 * t + 110), problems * a * u, problems / 10_000]
        for one, other in zip(given, wanted, strict=True):
            assert abs(one - other) <= 0.06 * other, (cells, wanted)
