"""A PRM reads inputs of one date, from its first training step to its last score, on whatever day that is."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from omegaprm.engine import template_date
from omegaprm.engine.errors import ConfigurationError, UsageError
from omegaprm.evaluator.config import EvaluateConfig
from omegaprm.evaluator.models import scorer_of, variant_of
from omegaprm.evaluator.scorer import Scorer
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.encoding import Encoder, Item
from omegaprm.trainer.record import Record, identity
from tests.fakes.dated import CALLS_NOW, FIRST, FIXED_DEFAULT, LATER, model, pass_to

ITEM = Item("What is 1+2?", ("1+2=3, so 3", "3"))


@pytest.fixture
def dated(policy_folder: Path, tmp_path: Path) -> Path:
    return model(policy_folder, tmp_path / "model", CALLS_NOW)


def claim(model: Path, out: Path, **flags: str) -> Record:
    """What bin/train does to its folder at its start."""
    config = TrainConfig(rows=("r",), model=str(model), out=str(out), **flags)
    record = Record(str(out))
    record.claim(identity(config, "rows", 1), config)
    return record


def has_checkpoint(record: Record) -> None:
    record.checkpoint(1).mkdir(parents=True)
    record.complete(1)


def test_a_training_keeps_the_date_of_its_beginning(dated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pass_to(FIRST, monkeypatch)
    record = claim(dated, tmp_path / "prm")
    assert record.prompt_date() == FIRST
    has_checkpoint(record)
    del record
    pass_to(LATER, monkeypatch)
    assert claim(dated, tmp_path / "prm").prompt_date() == FIRST
    assert json.loads((tmp_path / "prm" / "prompt_date.json").read_text()) == {"prompt_date": "2026-03-01"}


def test_a_training_without_a_checkpoint_begins_anew_today(dated: Path, tmp_path: Path, monkeypatch):
    for day in (FIRST, LATER):
        pass_to(day, monkeypatch)
        assert claim(dated, tmp_path / "prm").prompt_date() == day


def test_a_prm_that_is_trained_further_keeps_its_date_unless_another_is_given(dated: Path, tmp_path: Path, monkeypatch):
    pass_to(LATER, monkeypatch)
    template_date.record(dated, FIRST)
    assert claim(dated, tmp_path / "further").prompt_date() == FIRST
    assert claim(dated, tmp_path / "given", prompt_date="2025-01-02").prompt_date() == datetime.date(2025, 1, 2)


@pytest.mark.parametrize("template", [None, FIXED_DEFAULT])
def test_a_template_that_writes_no_day_leaves_no_record(template, policy_folder: Path, tmp_path: Path):
    folder = model(policy_folder, tmp_path / "model", template) if template else policy_folder
    assert claim(folder, tmp_path / "prm").prompt_date() is None
    assert not (tmp_path / "prm" / "prompt_date.json").exists()


def test_a_date_that_is_none_is_refused_and_another_training_too(dated: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="--prompt-date tomorrow: must be a date"):
        TrainConfig(model="m", prompt_date="tomorrow")
    has_checkpoint(claim(dated, tmp_path / "prm", prompt_date="2026-03-01"))
    with pytest.raises(ConfigurationError, match="--prompt-date '2026-03-01' there, '2026-03-02' here"):
        claim(dated, tmp_path / "prm", prompt_date="2026-03-02")


def test_inputs_have_the_recorded_date_or_else_a_fixed_one(dated: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    pass_to(LATER, monkeypatch)
    assert Encoder.load(dated).render(ITEM).startswith("Today is 26 July 2024.")
    assert Encoder.load(dated, date=FIRST).render(ITEM).startswith("Today is 01 March 2026.")
    template_date.record(dated, FIRST)
    text = Encoder.load(dated).render(ITEM)
    assert text.startswith("Today is 01 March 2026.")
    assert "Question: What is 1+2?" in text
    assert "processor_kwargs" not in capfd.readouterr().err


def test_a_record_that_cannot_be_read_is_named(dated: Path):
    (dated / "prompt_date.json").write_text('{"prompt_date": "1 March"}')
    with pytest.raises(ConfigurationError, match=r"prompt_date\.json: must be \{\"prompt_date\": \"2026-01-31\"\}"):
        Encoder.load(dated)


def scores(folder: Path) -> list[float]:
    return Scorer(folder, device="cpu").score(ITEM.question, ITEM.steps)


def test_a_step_scores_the_same_on_every_day(dated: Path, monkeypatch: pytest.MonkeyPatch):
    found = []
    for date in (None, FIRST):
        template_date.record(dated, date)
        for day in (FIRST, LATER):
            pass_to(day, monkeypatch)
            found.append(scores(dated))
    unrecorded, again, first, later = found
    assert (unrecorded, first) == (again, later)
    assert first != unrecorded, "the date counts"


def test_a_baseline_reads_the_date_of_the_prm_and_its_scores_are_kept_apart(dated: Path, policy_folder, tmp_path):
    prm = model(policy_folder, tmp_path / "prm", CALLS_NOW)
    template_date.record(prm, FIRST)
    opened = scorer_of(EvaluateConfig(prm=str(prm), baseline=str(dated), out="o"))
    assert opened(str(dated), 8).score_many([ITEM]) == [scores(prm)] != [scores(dated)]
    assert variant_of("transformers", str(dated), FIRST) == "prompt date 2026-03-01"
    assert variant_of("vllm", str(dated)) == "vllm prompt date 2024-07-26"
    assert variant_of("transformers", str(prm), FIRST) == variant_of("transformers", str(policy_folder), FIRST) == ""


def test_scores_of_a_template_that_only_takes_a_date_are_told_apart_by_it(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ date_string | default('26 Jul 2024') }}")
    assert variant_of("transformers", str(tmp_path), FIRST) == "prompt date 2026-03-01"
    assert variant_of("transformers", str(tmp_path)) == ""
