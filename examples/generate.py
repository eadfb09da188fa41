"""Make problems of a bundled family: python -m examples.generate digits --part seeds --count 1000 --out DIR

Writes DIR/<part>.json in the seed format, DIR/images/ for digits, and DIR/<part>.truth.json, what the images
show, for the step checker alone. Other --seed values give other problems; seeds and test never share an
expression of sums or a scan of digits, and neither is in the policy's pretraining.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

FAMILIES = ("sums", "digits")
PARTS = ("seeds", "test")


def generate(family: str, part: str, count: int, seed: int, out: Path) -> Path:
    """Write count problems of one part of a family; the path of the seeds file."""
    from examples.digits import problems as digits
    from examples.sums import problems as sums

    out.mkdir(parents=True, exist_ok=True)
    rows = sums.make(count, part, seed) if family == "sums" else digits.make(count, part, seed, out)
    truth = {str(row["id"]): row.pop("digits") for row in rows if "digits" in row}
    if truth:
        _write(out / f"{part}.truth.json", truth)
    _write(out / f"{part}.json", rows)
    return out / f"{part}.json"


def _write(path: Path, value: Any) -> None:
    if isinstance(value, list):
        body = "[\n" + ",\n".join(json.dumps(row) for row in value) + "\n]\n"
    else:
        body = "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}\n"
    path.write_text(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--part", choices=PARTS, default="seeds")
    parser.add_argument("--count", type=int, default=400, help="how many problems")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other problems")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    options = parser.parse_args()
    path = generate(options.family, options.part, options.count, options.seed, options.out)
    print(f"wrote {options.count} problems to {path}")


if __name__ == "__main__":
    main()
