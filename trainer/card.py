"""The page beside a trained PRM: what it is, what it was trained on, and how the loss fell."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from trainer.config import TrainConfig


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a training took in and what came out; losses are means over all weights of the targets.

    taken_step is the optimizer step whose weights were kept, the held_out figures are theirs.
    """

    num_rows: int
    num_labels: int
    mean_label: float
    num_rows_with_images: int
    num_held_out_rows: int
    num_bad_rows: int
    num_dropped: dict[str, int]
    num_steps: int
    final_loss: float
    taken_step: int
    held_out_loss: float | None
    held_out_auc: float | None
    held_out_ece: float | None


PACKAGES = ("torch", "transformers", "deepspeed", "peft", "omegaprm")

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

## Versions

{versions}

## Flags

| flag | value |
|---|---|
{flags}
"""


def write_page(folder: Path, config: TrainConfig, outcome: Outcome, rows_digest: str) -> None:
    """README.md of the model folder."""
    flags = {name: value for name, value in msgspec.to_builtins(config).items() if name != "out"}
    names = {"rows": [Path(file).name for file in config.rows], "model": Path(config.model).resolve().name}
    text = PAGE.format(
        facts=_table(_facts(outcome) | {"SHA-256 of the rows": rows_digest}),
        versions=", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        flags=_table({**flags, **names}),
    )
    (folder / "README.md").write_text(text)


def _facts(outcome: Outcome) -> dict[str, object]:
    left_out = {"bad": outcome.num_bad_rows, **outcome.num_dropped}
    facts: dict[str, object] = {
        "rows": f"{outcome.num_rows} ({outcome.num_rows_with_images} with images)",
        "labelled steps": f"{outcome.num_labels}, mean label {outcome.mean_label:.3f}",
        "rows left out": ", ".join(f"{count} {reason}" for reason, count in left_out.items()),
        "held-out rows": outcome.num_held_out_rows,
        "optimizer steps": f"{outcome.num_steps}, weights of step {outcome.taken_step}",
        "last loss": f"{outcome.final_loss:.4f}",
    }
    for name in ("loss", "auc", "ece"):
        value = getattr(outcome, f"held_out_{name}")
        facts[f"{name} on held-out rows"] = "none" if value is None else f"{value:.4f}"
    return facts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def draw_loss(folder: Path, log: list[dict[str, Any]], looks: list[dict[str, Any]]) -> None:
    """loss.png: the training loss by optimizer step, and the loss on held-out rows where there are any."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    axes.plot([entry["step"] for entry in log], [entry["loss"] for entry in log], marker=".", label="training")
    if looks:
        held_out = [entry["held_out_loss"] for entry in looks]
        axes.plot([entry["step"] for entry in looks], held_out, marker="o", label="held-out questions")
        axes.legend()
    axes.set(xlabel="optimizer step", ylabel="loss a unit of weight", title="Loss")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(folder / "loss.png", dpi=150)
    pyplot.close(figure)


def _table(values: dict[str, object]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in values.items())
