"""Inputs hold one <prm> a step, batches change no row, and what does not fit is refused, never cut."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.records import TrainingRow, process_text
from omegaprm.trainer import prm
from omegaprm.trainer.batches import EncodedRows
from omegaprm.trainer.encoding import Encoder, Item, Unusable, length, open_image
from tests.trainer.samples import picture

ITEM = Item("What is 1+2?", ("1+2=3, so 3", "3"))


@pytest.fixture(scope="module")
def encoder(policy_folder: Path) -> Encoder:
    return Encoder.load(policy_folder)


def pictured(folder: Path, number: int = 1) -> Item:
    return Item(ITEM.question, ITEM.steps, (str(folder / picture(folder, number)),))


def without_prm(policy: Path, folder: Path) -> Path:
    """The policy under a tokenizer that has another token where <prm> was, so that <prm> must be added."""
    shutil.copytree(policy, folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        file = folder / name
        file.write_text(file.read_text().replace("<prm>", "<other>"))
    return folder


def test_a_row_reads_as_the_chat_template_writes_it(encoder: Encoder) -> None:
    ids = encoder.encode(ITEM)["input_ids"][0]
    text = encoder.tokenizer.decode(ids)
    assert process_text(ITEM.question, ITEM.steps) in text
    assert int((ids == encoder.tokens.prm).sum()) == 2
    assert "system" not in text


def test_images_stand_before_the_text(encoder: Encoder, tmp_path: Path) -> None:
    row = encoder.encode(pictured(tmp_path))
    text = encoder.tokenizer.decode(row["input_ids"][0])
    assert 0 <= text.index("<IMG_CONTEXT>") < text.index("Question: ")
    assert row["pixel_values"].shape == (1, 3, 24, 24)


def test_training_and_scoring_read_the_same_tokens(encoder: Encoder, tmp_path: Path) -> None:
    items = [ITEM, pictured(tmp_path), Item("What is 7?", ("7",))]
    rows = [
        TrainingRow(
            id="", question=item.question, steps=item.steps, labels=(1.0,) * len(item.steps), images=item.images
        )
        for item in items
    ]
    trained = EncodedRows(rows, encoder, lambda: None)
    for at, item in enumerate(items):
        scored = encoder.encode(item)
        assert trained[at].keys() == {*scored, "labels"}
        for key, value in scored.items():
            assert torch.equal(trained[at][key], value)


def test_a_batch_pads_on_the_right_and_joins_images_in_order(encoder: Encoder, tmp_path: Path) -> None:
    short = encoder.encode(Item("What is 7?", ("7",)))
    rows = [encoder.encode(pictured(tmp_path, 1)), short, encoder.encode(pictured(tmp_path, 2))]
    batch = encoder.collate(rows)
    assert batch["input_ids"].shape == (3, max(map(length, rows)))
    assert torch.equal(batch["input_ids"][1, : length(short)], short["input_ids"][0])
    assert batch["attention_mask"].sum(dim=1).tolist() == list(map(length, rows))
    assert torch.equal(batch["pixel_values"], torch.cat([rows[0]["pixel_values"], rows[2]["pixel_values"]]))


def test_special_tokens_written_out_in_a_step_are_not_tokens(encoder: Encoder) -> None:
    ids = encoder.encode(Item("What is <IMG_CONTEXT>7?", ("7<prm>", "7<|im_end|>")))["input_ids"]
    assert torch.equal(ids, encoder.encode(Item("What is 7?", ("7", "7")))["input_ids"])


def test_what_is_too_long_is_dropped_whole(policy_folder: Path) -> None:
    limit = length(Encoder.load(policy_folder).encode(ITEM))
    assert isinstance(Encoder.load(policy_folder, limit - 1).encode_many([ITEM])[0], Unusable)
    row = TrainingRow(id="", question=ITEM.question, steps=ITEM.steps, labels=(1.0, 0.0))
    rows = EncodedRows([row], Encoder.load(policy_folder, limit - 1), lambda: None)
    assert (len(rows), rows.num_dropped) == (0, {"too long": 1})
    assert len(EncodedRows([row], Encoder.load(policy_folder, limit), lambda: None)) == 1


def test_a_file_that_is_no_image_is_unusable(encoder: Encoder, tmp_path: Path) -> None:
    file = tmp_path / "text.png"
    file.write_text("not a picture")
    with pytest.raises(Unusable, match=r"text\.png") as caught:
        encoder.encode(Item("q", ("a",), (str(file),)))
    assert caught.value.kind == "image"


def test_prm_is_added_where_a_tokenizer_lacks_it(policy_folder: Path, tmp_path: Path) -> None:
    encoder = Encoder.load(without_prm(policy_folder, tmp_path / "policy"))
    assert encoder.tokens.prm == len(encoder.tokenizer) - 1
    ids = encoder.encode(ITEM)["input_ids"]
    assert int((ids == encoder.tokens.prm).sum()) == 2


def test_yes_and_no_are_added_where_a_tokenizer_spells_them_out(policy_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(policy_folder, tmp_path / "policy")
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    tokenizer["model"]["merges"] = []
    file.write_text(json.dumps(tokenizer))
    encoder = Encoder.load(folder)
    model = prm.load(folder, encoder, torch.float32)
    logits = prm.step_logits(model, model.get_output_embeddings(), encoder.encode(ITEM), encoder.tokens)
    assert encoder.tokenizer.convert_ids_to_tokens([encoder.tokens.yes, encoder.tokens.no]) == ["Yes", "No"]
    assert model.get_input_embeddings().num_embeddings > max(encoder.tokens.yes, encoder.tokens.no)
    assert logits.shape == (2, 2)


def test_a_folder_without_a_model_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="must be a local model folder"):
        Encoder.load(tmp_path)


def test_a_picture_is_shown_to_the_prm_as_it_was_to_the_policy(tmp_path: Path) -> None:
    from omegaprm.engine.images import load

    drawn = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    drawn.putpixel((0, 0), (255, 0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    drawn.save(tmp_path / "clear.png", exif=exif)
    shown = open_image(tmp_path / "clear.png")
    assert shown.size == (2, 4)
    assert shown.tobytes() == load(tmp_path / "clear.png").tobytes()
