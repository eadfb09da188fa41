"""The README.md beside an export: what it holds, by which rule it was made, and what made it; no dates, no paths."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from omegaprm.engine.formats import FILES, Format
from omegaprm.engine.records import SCHEMA_VERSION
from omegaprm.engine.shares import cells, tallied

PACKAGES = ("msgspec", "lmdb", "pyarrow")

ABOUT: dict[str, str] = {
    "mmprm": "Training rows in MM-PRM's form, one `<prm>` and one label in [0, 1] a step; null is masked.",
    "trl": "Rows of TRL's stepwise supervision type. A label is true where the value is above 0; `values` keeps it. "
    "Where steps are masked the labels are 1, 0 and -100.",
    "parquet": "A row a solution: `steps`, and in `labels` one value in [0, 1] a step; null is masked.",
    "processbench": "Solutions in ProcessBench's form: `label` is the index of the first wrong step, -1 for none. "
    "These indices come from the labels described here, not from people.",
    "trees": "Trees in MM-PRM's JSON, a file a problem; `counts` holds rollouts that are correct, incorrect, "
    "unknown, truncated and unparsed.",
}
LOADABLE = ("trl", "parquet", "processbench")
"""Formats that datasets.load_dataset reads from the folder."""


def data_card(
    kind: Format,
    name: str,
    rule: Mapping[str, object],
    settings: Sequence[Mapping[str, str]],
    counts: Mapping[str, int],
    notes: Sequence[str] = (),
) -> bytes:
    """The card as UTF-8 Markdown. rule: flags that decided the labels; settings: those of each store."""
    parts = [
        _front_matter(kind),
        f"# {name}\n\n{ABOUT[kind]}\n\nFiles: {', '.join(f'`{file}`' for file in FILES[kind])}, `counts.json`.\n",
        *(f"{note}\n" for note in notes),
        "## Counts\n\n" + _table("count", sorted(counts.items())),
        "## Rollouts that could not be judged\n\n" + _table("outcome", cells(tallied(counts))),
        "## How the labels were made\n\n" + _table("setting", rule.items()),
        *(f"## Store {at}\n\n" + _table("setting", sorted(one.items())) for at, one in enumerate(settings, 1)),
        "## Versions\n\n" + _table("software", _versions()),
    ]
    return "\n".join(part for part in parts if part).encode()


def _front_matter(kind: Format) -> str:
    """What the datasets library reads: which files are data."""
    if kind not in LOADABLE:
        return ""
    split = "test" if kind == "processbench" else "train"
    return (
        f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: {split}\n    path: {FILES[kind][0]}\n---\n"
    )


def _table(heading: str, rows: Iterable[tuple[str, object]]) -> str:
    lines = [f"| {_cell(name)} | {_cell(value)} |\n" for name, value in rows]
    return f"| {heading} | value |\n|---|---|\n" + "".join(lines)


def _cell(value: object) -> str:
    """A value on one line of a table."""
    return " ".join(str(value).split()).replace("|", "\\|")


def _versions() -> list[tuple[str, str]]:
    found = [("store schema", str(SCHEMA_VERSION)), ("python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found
