"""The body of POST /pooling becomes solutions to score, or is refused with the field and the rule it breaks.

{"model": "prm", "input": X}, X one of these or a list of them: {"question", "steps", "images"}, or the text a
PRM reads, "Question: …\\nProcess: step<prm>\\n\\nstep<prm>". Images are data: URIs or, where allowed, paths.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from PIL import Image

from omegaprm.engine.records import parse_process_text
from omegaprm.evaluator.candidates import Broken, resolve_images
from omegaprm.trainer.encoding import Item, open_image

MAX_IMAGES = 16
MAX_STEPS = 1000


class Refused(Exception):
    """The request breaks a rule; the message names the field."""


class Solution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One solution as a request gives it."""

    question: str
    steps: tuple[str, ...]
    images: tuple[str, ...] = ()


class PoolingRequest(msgspec.Struct, frozen=True):
    """The body; what other servers' clients send besides is ignored."""

    input: str | Solution | list[str | Solution]
    model: str | None = None


def parse(body: bytes) -> tuple[PoolingRequest, list[Solution]]:
    """The request and its solutions in order. Refused."""
    try:
        request = msgspec.json.decode(body, type=PoolingRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(str(error)) from error
    given = request.input if isinstance(request.input, list) else [request.input]
    if not given:
        raise Refused("input: must hold at least one solution")
    return request, [_solution(at, one) for at, one in enumerate(given)]


def _solution(at: int, given: str | Solution) -> Solution:
    try:
        solution = Solution(*parse_process_text(given)) if isinstance(given, str) else given
    except ValueError as error:
        raise Refused(f"input[{at}]: {error}") from error
    if not solution.steps or len(solution.steps) > MAX_STEPS:
        raise Refused(f"input[{at}].steps: must be 1 to {MAX_STEPS} texts")
    if len(solution.images) > MAX_IMAGES:
        raise Refused(f"input[{at}].images: must be at most {MAX_IMAGES}")
    return solution


@contextmanager
def items_of(solutions: Sequence[Solution], image_root: str | None) -> Iterator[list[Item]]:
    """What the PRM reads; images sent along lie in a folder of their own until this is left. Refused."""
    with TemporaryDirectory(prefix="omegaprm-images-") as folder:
        images = _Images(Path(folder), Path(image_root) if image_root is not None else None)
        yield [
            Item(one.question, one.steps, tuple(images.path(f"input[{at}].images", image) for image in one.images))
            for at, one in enumerate(solutions)
        ]


class _Images:
    """Checks images and gives their paths; the same data: URI is written once."""

    def __init__(self, folder: Path, root: Path | None) -> None:
        self._folder, self._root = folder, root
        self._paths: dict[str, str] = {}

    def path(self, field: str, image: str) -> str:
        if image not in self._paths:
            path = self._written(field, image) if image.startswith("data:") else self._in_root(field, image)
            try:
                open_image(path)
            except (OSError, Image.DecompressionBombError) as error:
                raise Refused(f"{field}: must be an image: {type(error).__name__}") from error
            self._paths[image] = path
        return self._paths[image]

    def _written(self, field: str, uri: str) -> str:
        head, _, data = uri.partition(",")
        try:
            content = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refused(f"{field}: a data: URI must hold base64") from error
        if not head.endswith(";base64"):
            raise Refused(f"{field}: a data: URI must hold base64")
        path = self._folder / str(len(self._paths))
        path.write_bytes(content)
        return str(path)

    def _in_root(self, field: str, name: str) -> str:
        if self._root is None:
            raise Refused(f"{field}: must be a data: URI; paths need --image-root")
        try:
            return resolve_images([name], self._root)[0]
        except Broken as broken:
            raise Refused(f"{field}: must be a file in the image root") from broken


def response(name: str, number: str, created: int, scores: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The answer, in the shape of vLLM's and OpenAI's lists; data[i].data holds one number a step of input i."""
    return {
        "id": f"pool-{number}",
        "object": "list",
        "created": created,
        "model": name,
        "data": [{"index": at, "object": "pooling", "data": list(one)} for at, one in enumerate(scores)],
        "usage": {"num_solutions": len(scores), "num_steps": sum(map(len, scores))},
    }
