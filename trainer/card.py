"""The page beside a trained PRM: what it is, what it was trained on, and how the loss fell."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from engine.records import TrainingRow
from trainer.config import TrainConfig


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a training took in and what came out; losses are means a labelled step."""

    num_rows: int
    num_labels: int
    mean_label: float
    num_rows_with_images: int
    num_held_out_rows: int
    num_bad_rows: int
    num_dropped: dict[str, int]
    num_steps: int
    final_loss: float
    held_out_loss: float | None


PAGE = """---
library_name: transformers
tags: [process-reward-model]
---

# Process reward model

A policy fine-tuned to say at every `<prm>` token how likely the step before it is right: softmax over the
logits of "Yes" and "No" there. It loads with `AutoModelForImageTextToText` (`AutoModelForCausalLM` for a text
model) and `AutoProcessor`. The user's turn holds the images, then
`Question: ...\\nProcess: step<prm>\\n\\nstep<prm>`.

## Training

| | |
|---|---|
{facts}

![loss](loss.png)

## Flags

| flag | value |
|---|---|
{flags}
"""


def write_page(folder: Path, config: TrainConfig, outcome: Outcome) -> None:
    """README.md of the model folder."""
    held_out = outcome.held_out_loss
    facts = {
        "rows": f"{outcome.num_rows} ({outcome.num_rows_with_images} with images)",
        "labelled steps": f"{outcome.num_labels}, mean label {outcome.mean_label:.3f}",
        "rows left out": ", ".join(
            f"{count} {reason}" for reason, count in {"bad": outcome.num_bad_rows, **outcome.num_dropped}.items()
        ),
        "held-out rows": outcome.num_held_out_rows,
        "optimizer steps": outcome.num_steps,
        "last loss": f"{outcome.final_loss:.4f}",
        "loss on held-out rows": "none held out" if held_out is None else f"{held_out:.4f}",
    }
    flags = {name: value for name, value in msgspec.to_builtins(config).items() if name != "out"}
    names = {"rows": [Path(file).name for file in config.rows], "model": Path(config.model).resolve().name}
    text = PAGE.format(facts=_table(facts), flags=_table({**flags, **names}))
    (folder / "README.md").write_text(text)


def draw_loss(folder: Path, log: list[dict[str, float]]) -> None:
    """loss.png: the training loss by optimizer step."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    axes.plot([entry["step"] for entry in log], [entry["loss"] for entry in log], marker=".")
    axes.set(xlabel="optimizer step", ylabel="loss a labelled step", title="Training loss")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(folder / "loss.png", dpi=150)
    pyplot.close(figure)


def labels_of(rows: Iterable[TrainingRow]) -> list[float]:
    return [label for row in rows for label in row.labels if label is not None]


def _table(values: dict[str, object]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in values.items())
