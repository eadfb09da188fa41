"""The texts behind which nothing of a completion is read. Pure."""

from __future__ import annotations

from omegaprm.engine.seams import StepFormat

ENDS: dict[tuple[StepFormat, bool], tuple[str, ...]] = {
    ("tags", False): ("</answer>",),
    ("tags", True): ("</step>", "</answer>"),
    ("paragraphs", True): ("\n\n",),
    ("lines", True): ("\n",),
}
"""Texts behind which nothing is read, so that a completion may stop there; by format, and whether it is one step."""
