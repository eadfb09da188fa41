"""The page beside a trained PRM: what it is, what it was trained on, and how the loss fell."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine import template_date
from omegaprm.trainer.config import TrainConfig


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a training took in and what came out; losses are means over all weights of the targets.

    taken_step is the optimizer step whose weights were kept, the held_out and validation figures are theirs.
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
    validated_on: str | None = None
    validation: dict[str, float] = {}


VALIDATION_PICTURE = "validation.png"
BASELINES = ("random", "pass", "majority")
"""Figures on candidates that no PRM has a part in."""
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
{validation}

## Versions

{versions}

## Flags

| flag | value |
|---|---|
{flags}
"""


def write_page(folder: Path, config: TrainConfig, outcome: Outcome, rows_digest: str) -> None:
    """README.md of the model folder."""
    flags = {
        name: value
        for name, value in msgspec.to_builtins(config).items()
        if name not in ("out", "image_root", "validation_image_root")
    }
    names = {
        **{name: [Path(file).name for file in getattr(config, name)] for name in ("rows", "validation_candidates")},
        "model": Path(config.model).resolve().name,
    }
    text = PAGE.format(
        validation=_validation(outcome),
        facts=_table(_facts(outcome) | _date(folder) | {"SHA-256 of the rows": rows_digest}),
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


def _date(folder: Path) -> dict[str, object]:
    """What a chat template that writes today's date must be given."""
    date = template_date.recorded(folder)
    return {"date in the prompt": date.isoformat()} if date else {}


def _validation(outcome: Outcome) -> str:
    """Best-of-N on the candidates of --validation-candidates; nothing where there were none."""
    if not outcome.validated_on:
        return ""
    figures = _table({_words(name): f"{value:.3f}" for name, value in outcome.validation.items()})
    head = f"## Best-of-N\n\nOn {outcome.validated_on}, all of them: the share of problems that are solved by"
    return f"\n{head}\n\n| | |\n|---|---|\n{figures}\n\n![Best-of-N]({VALIDATION_PICTURE})\n"


def _words(name: str) -> str:
    """What a figure on candidates is called."""
    named = {"random": "a random candidate", "pass": "any candidate (pass@N)", "majority": "majority vote"}
    return (named | {"weighted_vote": "vote weighted by the PRM"}).get(name, f"Best-of-N, {name}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def draw_loss(folder: Path, log: list[dict[str, Any]], looks: list[dict[str, Any]]) -> None:
    """loss.png: the training loss by optimizer step, and the loss on held-out rows where there are any."""
    figure, axes = _axes()
    axes.plot([entry["step"] for entry in log], [entry["loss"] for entry in log], marker=".", label="training")
    if looks:
        held_out = [entry["held_out_loss"] for entry in looks]
        axes.plot([entry["step"] for entry in looks], held_out, marker="o", label="held-out questions")
        axes.legend()
    axes.set(ylabel="loss a unit of weight", title="Loss")
    _write(figure, axes, folder / "loss.png")


def draw_validation(folder: Path, looks: list[dict[str, Any]], title: str) -> None:
    """validation.png: Best-of-N by optimizer step beside what no PRM has a part in; looks hold step and figures."""
    figure, axes = _axes()
    for name in (name for name in looks[0] if name != "step"):
        style = {"linestyle": ":", "color": "gray"} if name in BASELINES else {"marker": "."}
        axes.plot([look["step"] for look in looks], [look[name] for look in looks], label=_words(name), **style)
    axes.set(ylabel="share of problems solved", title=title)
    axes.legend(fontsize="small")
    _write(figure, axes, folder / VALIDATION_PICTURE)


def _axes() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(6, 4))


def _write(figure: Any, axes: Any, path: Path) -> None:
    from matplotlib import pyplot

    axes.set(xlabel="optimizer step")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _table(values: dict[str, object]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in values.items())
