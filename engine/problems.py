"""Seed problems from files: every usable row becomes a problem, every other one a reason with its line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from omegaprm.engine.errors import BadInput
from omegaprm.engine.image_paths import ImageError, relative, resolve
from omegaprm.engine.records import Problem
from omegaprm.engine.seedfile import NOT_JSON, Broken, Repeated, Row, Written, rows

REJECTED_KEY = b"rejected"
"""Where the table "meta" of a store holds the rejected rows, a msgpack list."""
SHOWN_REASONS = 3
ROW = "row"
"""The field of a rejection that is about the whole row."""


class Rejected(msgspec.Struct, frozen=True):
    """A seed row that is not used: where it stands, the field and the rule it breaks, its id if known."""

    file: str
    line: int
    field: str
    reason: str
    id: str | None = None


class SeedSet(msgspec.Struct, frozen=True, kw_only=True):
    """What seed files hold for one shard.

    image_digests gives each problem's images as SHA-256 in hex, in the order of its image_paths.
    num_elsewhere counts the rows that fall to other shards, whose images were not looked at.
    """

    files: tuple[str, ...]
    problems: tuple[Problem, ...]
    rejected: tuple[Rejected, ...]
    image_digests: dict[str, tuple[str, ...]]
    num_elsewhere: int = 0

    def fingerprint(self) -> str:
        """Stands for the content of the usable problems, in whichever order and folder they lie."""
        content = sorted(
            (
                problem.id,
                problem.question,
                problem.correct_answer,
                problem.image_paths,
                self.image_digests.get(problem.id, ()),
            )
            for problem in self.problems
        )
        return blake2b(msgspec.msgpack.encode(content), digest_size=16).hexdigest()

    def require_usable(self) -> None:
        """BadInput where no row of the files can be used, here or on another shard."""
        if self.problems or self.num_elsewhere:
            return
        reasons = [f"{row.file}:{row.line}: {row.field}: {row.reason}" for row in self.rejected]
        shown = "; ".join(reasons[:SHOWN_REASONS]) or "there are no rows"
        rest = len(reasons) - SHOWN_REASONS
        more = f"; and {rest} more" if rest > 0 else ""
        form = "; a seeds file is a JSON list or JSONL, one object a line" if self._is_no_json() else ""
        raise BadInput(f"no usable seed row in {', '.join(self.files)}: {shown}{more}{form}")

    def _is_no_json(self) -> bool:
        return bool(self.rejected) and all(row.reason.startswith(NOT_JSON) for row in self.rejected)


class _Refused(Exception):
    """A field of a row breaks a rule."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def read_problems(paths: Sequence[Path], image_root: Path | None = None, shard: tuple[int, int] = (0, 1)) -> SeedSet:
    """Read seed files, in order; of a shard (i, n) only the problems whose id falls to part i of n.

    image_root is where image paths start; default: each file's own folder. BadInput where a file cannot be
    read. Of usable rows with the same id the first is taken, also across files.
    """
    reader = _Reader(shard)
    for path in paths:
        reader.read(path, (image_root or path.parent).resolve())
    return SeedSet(
        files=tuple(_named(path) for path in paths),
        problems=tuple(problem for problem, _ in reader.usable.values()),
        rejected=tuple(reader.rejected),
        image_digests={problem_id: digests for problem_id, (_, digests) in reader.usable.items()},
        num_elsewhere=reader.num_elsewhere,
    )


class _Reader:
    """Collects the rows of several files."""

    def __init__(self, shard: tuple[int, int]) -> None:
        self.shard = shard
        self.usable: dict[str, tuple[Problem, tuple[str, ...]]] = {}
        self.rejected: list[Rejected] = []
        self.num_elsewhere = 0
        self._digests: dict[Path, str | ValueError] = {}

    def read(self, path: Path, root: Path) -> None:
        try:
            content = path.read_bytes()
        except (OSError, ValueError) as error:
            raise BadInput(f"seeds {_named(path)}: {getattr(error, 'strerror', None) or error}") from error
        if not _is_unicode(str(root)):
            raise BadInput(f"image root {_named(root)}: must be valid UTF-8")
        for row in rows(content):
            if isinstance(row, Broken):
                self.rejected.append(Rejected(_named(path), row.line, ROW, row.reason))
            else:
                self._take(_named(path), row, root)

    def _take(self, file: str, row: Row, root: Path) -> None:
        problem_id = None
        try:
            fields = _fields(row.value)
            problem_id = _id(fields)
            if not _falls_to(problem_id, self.shard):
                self.num_elsewhere += 1
                return
            if problem_id in self.usable:
                raise _Refused("id", f"must be used once; {problem_id!r} has been used before")
            problem = _problem(problem_id, fields, root)
            self.usable[problem_id] = problem, self._image_digests(problem)
        except _Refused as refused:
            self.rejected.append(Rejected(file, row.line, refused.field, refused.reason, problem_id))

    def _image_digests(self, problem: Problem) -> tuple[str, ...]:
        try:
            return tuple(self._digest(Path(problem.image_root), name) for name in problem.image_paths)
        except (OSError, ValueError) as error:
            raise _refused_image(error) from error

    def _digest(self, root: Path, name: str) -> str:
        from omegaprm.engine import images  # Heavy, and not needed by those who only read what was rejected.

        path = resolve(root, name)
        if path not in self._digests:
            try:
                self._digests[path] = images.check(path)
            except ImageError as error:
                self._digests[path] = error
        found = self._digests[path]
        if isinstance(found, ValueError):
            raise found
        return found


def _fields(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _Refused(ROW, f"must be an object, not {_kind(value)}")
    if isinstance(value, Repeated):
        for name in ("id", "question", "correct_answer", "image_path"):
            if name in value.names:
                raise _Refused(name, "must be given once in a row")
    return value


def _id(fields: Mapping[str, object]) -> str:
    return _text(fields, "id", numbers=True)


def _problem(problem_id: str, fields: Mapping[str, object], root: Path) -> Problem:
    image_paths = _stored(_image_paths(fields.get("image_path")), root)
    return Problem(
        id=problem_id,
        question=_text(fields, "question", numbers=False),
        correct_answer=_text(fields, "correct_answer", numbers=True),
        image_paths=image_paths,
        image_root=str(root) if image_paths else "",
    )


def _text(fields: Mapping[str, object], name: str, *, numbers: bool) -> str:
    """The field as text, as it stands in the file; _Refused where it is absent, empty or of another type."""
    value = fields.get(name)
    if value is None:
        raise _Refused(name, "must be given")
    if not isinstance(value, str) or (isinstance(value, Written) and not numbers):
        raise _Refused(name, f"must be text{' or a number' if numbers else ''}, not {_kind(value)}")
    if not value.strip():
        raise _Refused(name, "must not be empty")
    if not _is_unicode(value):
        raise _Refused(name, "must be valid Unicode in UTF-8")
    return str(value)


def _image_paths(value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    names = value if isinstance(value, list) else [value]
    for name in names:
        if not isinstance(name, str) or isinstance(name, Written):
            raise _Refused("image_path", f"must be text or a list of texts, not {_kind(name)}")
        if not name or not _is_unicode(name):
            raise _Refused("image_path", "must be valid Unicode in UTF-8 and not empty")
    return tuple(names)


def _stored(names: Sequence[str], root: Path) -> tuple[str, ...]:
    """Image paths as the store keeps them: relative to the root."""
    try:
        return tuple(relative(root, name) for name in names)
    except ImageError as error:
        raise _refused_image(error) from error


def _refused_image(error: Exception) -> _Refused:
    return _Refused("image_path", str(error).encode(errors="backslashreplace").decode())


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    for kind, name in ((Written, "a number"), (str, "text"), (list, "a list"), (dict, "an object")):
        if isinstance(value, kind):
            return name
    return "NaN or Infinity"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _named(path: Path) -> str:
    """A path as text that can be stored and printed."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _falls_to(problem_id: str, shard: tuple[int, int]) -> bool:
    index, count = shard
    return int.from_bytes(blake2b(problem_id.encode(), digest_size=8).digest()) % count == index
