"""Every flag of bin/ablate, and the cells that they span."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Literal

import msgspec

from omegaprm.engine.errors import UsageError

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

Loss = Literal["soft", "hard", "counts"]
Select = Literal["all", "balanced", "distinct"]
Weighing = Literal["row", "problem"]


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One training: what distinguishes it from the others."""

    loss: Loss
    select: Select
    weigh_by: Weighing
    rows_a_problem: int
    max_rows: int
    seed: int

    @property
    def name(self) -> str:
        """Folder of the cell."""
        each = f"-each{self.rows_a_problem}" if self.rows_a_problem else ""
        rows = f"-rows{self.max_rows}" if self.max_rows else ""
        return f"{self.loss}-{self.select}-by_{self.weigh_by}{each}{rows}-seed{self.seed}"

    @property
    def flags(self) -> dict[str, object]:
        """As flags of bin/train; 0 stands for no limit."""
        given = msgspec.structs.asdict(self)
        return {name: value for name, value in given.items() if name not in ("rows_a_problem", "max_rows") or value}


class AblationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Train and evaluate a PRM for every combination of loss, row selection, number of rows and seed; one table.

    What is done is not done again, and a folder's table holds all cells that were ever finished in it.
    """

    quickstart: str = "quickstart"
    """Folder that bin/quickstart left: rows, candidates and images come from it where they are not named."""
    rows: tuple[str, ...] = ()
    """Training rows as for bin/train; default: those of the quickstart."""
    candidates: tuple[str, ...] = ()
    """Candidates files as for bin/evaluate, with "step_labels" for step figures; default: those of the quickstart."""
    image_roots: tuple[str, ...] = ()
    """Folder that the image paths of each candidates file are relative to; default: the file's own folder."""
    model: str = str(EXAMPLES / "policy-bpe")
    """Folder of the policy that every PRM starts from; it is evaluated too, as "untrained"."""
    out: str = "ablation"
    """Folder for the trainings, their evaluations, and ablation.json and ablation.md."""
    loss: tuple[Loss, ...] = ("soft", "hard", "counts")
    """Losses to try; "counts" needs rows that have them."""
    select: tuple[Select, ...] = ("all", "balanced", "distinct")
    """Row selections to try."""
    weigh_by: tuple[Weighing, ...] = ("row",)
    """Weighings to try."""
    rows_a_problem: tuple[int, ...] = (0,)
    """Limits of rows a problem to try; 0: none."""
    max_rows: tuple[int, ...] = (0,)
    """Numbers of rows to try; 0: all."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of each combination; the spread between them is what a difference must be held against."""
    epochs: float = 4.0
    """Passes over the rows."""
    max_steps: int | None = None
    """Optimizer steps of every cell, whatever its rows; overrides epochs."""
    batch_size: int = 32
    """Rows an optimizer step."""
    learning_rate: float = 3e-4
    """Peak of the learning rate."""
    max_length: int | None = 512
    """Tokens a row at the most."""
    draws: int = 2000
    """Bootstrap draws behind the intervals."""

    def __post_init__(self) -> None:
        for name in ("loss", "select", "weigh_by", "rows_a_problem", "max_rows", "seeds"):
            if not getattr(self, name):
                raise UsageError(f"--{name.replace('_', '-')}: must name at least one")
        if any(limit < 0 for limit in (*self.rows_a_problem, *self.max_rows)):
            raise UsageError("--rows-a-problem and --max-rows: must be at least 0, which is no limit")
        if self.image_roots and len(self.image_roots) != len(self.candidates):
            raise UsageError(f"--image-roots: must be one for each of the {len(self.candidates)} --candidates")

    @property
    def cells(self) -> list[Cell]:
        axes = (self.loss, self.select, self.weigh_by, self.rows_a_problem, self.max_rows, self.seeds)
        names = ("loss", "select", "weigh_by", "rows_a_problem", "max_rows", "seed")
        return [msgspec.convert(dict(zip(names, values, strict=True)), Cell) for values in product(*axes)]

    @property
    def row_files(self) -> list[str]:
        return list(self.rows) or [str(Path(self.quickstart) / "rows" / "meta.json")]

    @property
    def candidate_files(self) -> dict[str, Path]:
        """(file, image root) of every set of candidates by its name. UsageError where a quickstart left none."""
        if self.candidates:
            return {Path(file).stem: Path(file) for file in self.candidates}
        folder = Path(self.quickstart)
        found = {name: folder / f"{name}.json" for name in ("sums", "digits")}
        missing = [str(path) for path in found.values() if not path.exists()]
        if missing:
            raise UsageError(f"--quickstart {folder}: {' and '.join(missing)} must be there, or give --candidates")
        return found

    def image_root(self, name: str, file: Path) -> Path:
        """Where the images of a set of candidates are; a quickstart's paths begin in the folder of all problems."""
        if self.image_roots:
            return Path(dict(zip(self.candidate_files, self.image_roots, strict=True))[name])
        return file.parent if self.candidates else file.parent / "problems"
