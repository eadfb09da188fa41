"""Training rows as files that others read: MM-PRM's, TRL's, ProcessBench's and parquet; same rows, same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import msgspec

from omegaprm.engine.certainty import intervals
from omegaprm.engine.files import write_whole
from omegaprm.engine.records import TrainingRow, process_text

Format = Literal["mmprm", "trl", "parquet", "trees", "processbench"]

MASKED = -100
"""The label that PyTorch's cross-entropy leaves out, which TRL passes on as it stands."""

NOT_KNOWN = "rows dropped: first error not known"


class RowSet(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to write: image paths are relative to root; generator stands for the policy that wrote the steps."""

    name: str
    rows: Sequence[TrainingRow]
    root: str
    generator: str = ""


def write_mmprm(folder: Path, rows: RowSet, counts: Counter[str]) -> None:
    """train.jsonl with one <prm> and one label a step, and InternVL's meta.json that names it."""
    meta = {
        rows.name: {
            "root": rows.root,
            "annotation": str((folder / "train.jsonl").resolve()),
            "data_augment": False,
            "repeat_time": 1,
            "length": len(rows.rows),
        }
    }
    write_whole(folder / "train.jsonl", b"".join(map(_mmprm_line, rows.rows)))
    write_whole(folder / "meta.json", pretty(meta))


def _mmprm_line(row: TrainingRow) -> bytes:
    value: dict[str, Any] = {"id": row.id}
    if row.images:
        value["image"] = row.images[0] if len(row.images) == 1 else row.images
    value["conversations"] = [
        {"from": "human", "value": process_text(row.question, row.steps)},
        {"from": "gpt", "value": row.labels},
    ]
    value |= _certainty(row)
    return msgspec.json.encode(value) + b"\n"


def _certainty(row: TrainingRow) -> dict[str, Any]:
    """What the labels rest on, where the row says it."""
    return {"counts": row.counts, "intervals": intervals(row.counts)} if row.counts else {}


def write_trl(folder: Path, rows: RowSet, counts: Counter[str]) -> None:
    """train.jsonl in TRL's stepwise supervision type, {"prompt", "completions", "labels"}; values keeps the MC.

    A label is true where the value is above 0. Where a step of any row is masked the labels of all rows are
    1, 0 and -100, since a column has one type. A meta.json of an earlier export would name these rows; it is gone.
    """
    masked = any(None in row.labels for row in rows.rows)
    (folder / "meta.json").unlink(missing_ok=True)
    write_whole(folder / "train.jsonl", b"".join(_trl_line(row, masked) for row in rows.rows))


def _trl_line(row: TrainingRow, masked: bool) -> bytes:
    labels: list[bool] | list[int] = [value is not None and value > 0 for value in row.labels]
    if masked:
        labels = [MASKED if value is None else int(value > 0) for value in row.labels]
    value = {
        "id": row.id,
        "prompt": row.question,
        "completions": row.steps,
        "labels": labels,
        "values": row.labels,
        "images": row.images,
        **_certainty(row),
    }
    return msgspec.json.encode(value) + b"\n"


def write_processbench(folder: Path, rows: RowSet, counts: Counter[str]) -> None:
    """test.json, a list in ProcessBench's form: label is the index of the first wrong step, -1 for none.

    A row whose first error lies somewhere among masked steps says no index; it is dropped and counted.
    """
    known = [(row, at) for row in rows.rows if (at := first_error(row.labels)) is not None]
    counts[NOT_KNOWN] += len(rows.rows) - len(known)
    values = [_processbench_row(row, at, rows.generator) for row, at in known]
    write_whole(folder / "test.json", pretty(values))


def first_error(labels: Sequence[float | None]) -> int | None:
    """The index of the first step labelled 0, -1 where all are right; None where masked steps hide which it is.

    A masked step before one with a value above 0 is right: what follows it can still reach the answer.
    """
    zeros = [at for at, label in enumerate(labels) if label == 0]
    if not zeros:
        return -1 if labels[-1] is not None else None
    at = zeros[0]
    return at if at == 0 or labels[at - 1] is not None else None


def _processbench_row(row: TrainingRow, at: int, generator: str) -> dict[str, Any]:
    value: dict[str, Any] = {
        "id": row.id,
        "generator": generator,
        "problem": row.question,
        "steps": row.steps,
        "final_answer_correct": row.labels[-1] is not None and row.labels[-1] > 0,
        "label": at,
        **_certainty(row),
    }
    return value | ({"image": list(row.images)} if row.images else {})


def write_parquet(folder: Path, rows: RowSet, counts: Counter[str]) -> None:
    """train.parquet, a row a solution: id, question, steps, labels (null: masked), images, what labels rest on."""
    import pyarrow
    import pyarrow.parquet

    texts = pyarrow.list_(pyarrow.string())
    schema = pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("question", pyarrow.string()),
            ("steps", texts),
            ("labels", pyarrow.list_(pyarrow.float64())),
            ("images", texts),
        ]
    )
    columns: dict[str, list[Any]] = {name: [_plain(getattr(row, name)) for row in rows.rows] for name in schema.names}
    if any(row.counts for row in rows.rows):
        for name, kind in (("counts", pyarrow.int64()), ("intervals", pyarrow.float64())):
            schema = schema.append(pyarrow.field(name, pyarrow.list_(pyarrow.list_(kind))))
            columns[name] = [_certainty(row).get(name) for row in rows.rows]
    file = BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), file, compression="zstd")
    write_whole(folder / "train.parquet", file.getvalue())


def _plain(value: str | tuple[Any, ...]) -> str | list[Any]:
    return value if isinstance(value, str) else list(value)


WRITERS: dict[str, Callable[[Path, RowSet, Counter[str]], None]] = {
    "mmprm": write_mmprm,
    "trl": write_trl,
    "parquet": write_parquet,
    "processbench": write_processbench,
}
"""Formats that are made of rows, by name."""

FILES: dict[str, tuple[str, ...]] = {
    "mmprm": ("train.jsonl", "meta.json"),
    "trl": ("train.jsonl",),
    "parquet": ("train.parquet",),
    "processbench": ("test.json",),
    "trees": ("trees/*.json",),
}
"""What each format writes beside counts.json and README.md."""


def pretty(value: object) -> bytes:
    """Indented JSON with a line's end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
