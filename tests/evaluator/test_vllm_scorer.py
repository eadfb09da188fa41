"""vLLM's scores are transformers' scores, with images and without, over HTTP; a policy that is no PRM is refused."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from omegaprm.engine.errors import ConfigurationError
from omegaprm.evaluator import Scorer
from omegaprm.evaluator.config import EvaluateConfig
from omegaprm.evaluator.models import scorer_of
from tests.conftest import ROOT
from tests.trainer.samples import picture
from tests.trainer.test_encoding import without_prm

TOLERANCE = 1e-3
SOLUTIONS = (["1+2=3, so 3", "3"], ["2*3=6, so 6-4", "6-4=2, so 2", "2"], ["5 " * 600, "5"])
QUESTION = "What is 1+2?"


@contextmanager
def serving(prm: Path, image_root: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of bin/serve-prm on vLLM, and its process."""
    flags = ["--prm", prm, "--image-root", image_root, "--scorer", "vllm", "--port", "0"]
    command = [str(ROOT / "bin" / "serve-prm"), *map(str, flags)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert address, "it did not start"
        yield address[0], server
    finally:
        server.kill()
        server.communicate()


@pytest.mark.engine
@pytest.mark.timeout(200)
def test_the_command_serves_on_vllm_what_transformers_scores_and_a_signal_ends_it_with_0(
    policy_folder: Path, tmp_path: Path
) -> None:
    name = picture(tmp_path, 3)
    asked = [(steps, images) for steps in SOLUTIONS for images in ([], [name])]
    body = {"input": [{"question": QUESTION, "steps": steps, "images": images} for steps, images in asked]}
    with serving(policy_folder, tmp_path) as (address, server):
        with urlopen(Request(f"{address}/pooling", data=json.dumps(body).encode()), timeout=100) as answer:
            found = [one["data"] for one in json.load(answer)["data"]]
        with urlopen(f"{address}/health", timeout=20) as answer:
            assert answer.status == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    scorer = Scorer(policy_folder, device="cpu")
    for (steps, images), scores in zip(asked, found, strict=True):
        assert scores == pytest.approx(
            scorer.score(QUESTION, steps, [str(tmp_path / image) for image in images]), abs=TOLERANCE
        )
    assert [len(scores) for scores in found] == [2, 2, 3, 3, 2, 2]
    assert len({tuple(scores) for scores in found}) == 5, "the image counts; both long ones score 0"


def test_a_policy_that_lacks_prm_is_told_to_use_transformers(policy_folder: Path, tmp_path: Path) -> None:
    open_scorer = scorer_of(EvaluateConfig(prm="p", out="o", scorer="vllm"))
    with pytest.raises(ConfigurationError, match="--scorer transformers"):
        open_scorer(str(without_prm(policy_folder, tmp_path / "policy")), 1)
