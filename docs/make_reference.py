"""Writes docs/reference.md from the code: commands, flags, exit codes, metrics, keys.

Run: python -m docs.make_reference. Nothing in the page is written by hand, and tests/test_docs.py holds the
committed page against this one.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import itertools
import os
import re
import subprocess
import textwrap
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from tyro.conf import Positional

from omegaprm.engine import errors
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.metrics import FIGURES
from omegaprm.engine.presets import PRESETS
from omegaprm.engine.records import Candidates
from omegaprm.engine.status import Summary
from omegaprm.engine.view.scores import ScoredSolution

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
POSITIONAL = typing.get_args(Positional[str])[-1]

FORMATS: dict[str, type[msgspec.Struct]] = {
    "Candidates: `bin/rollout --out`, `bin/evaluate --candidates`": Candidates,
    "What a store holds: `bin/status --json`": Summary,
    "Scores of steps: `bin/view --prm-scores`": ScoredSolution,
}

HEAD = """# Reference

Every command with its flags, every exit code and metric, and the keys of what is written. Made from the code by
`python -m docs.make_reference`; a test keeps the two the same. [formats.md](formats.md) has the rules in words.

Where a command takes `--config FILE`, the file is TOML with these names, `-` or `_`; a flag on the command line goes
before the file, the file before a preset. `-h` or `--help` shows the same in a terminal.
"""

COMPLETION = """## Shell completion

Commands that have `--config` print a script that completes their flags, for bash, zsh or fish. It is for the command as
it is typed from the checkout, `bin/annotate`:

```sh
bin/annotate --tyro-print-completion bash > annotate.bash
```

`source annotate.bash` then completes it in this shell.
"""


def page() -> str:
    """The whole of docs/reference.md."""
    parts = [
        HEAD,
        "## Commands\n",
        *map(_command, commands()),
        COMPLETION,
        *_presets(),
        *_exit_codes(),
        *_metrics(),
        *_formats(),
    ]
    return "\n".join(parts)


def commands() -> list[str]:
    """The executables of bin/, sorted."""
    return sorted(path.name for path in (ROOT / "bin").iterdir() if path.is_file() and os.access(path, os.X_OK))


def config_of(command: str) -> type[msgspec.Struct] | None:
    """The struct that a command's file parses its flags into; None where it has none."""
    source = (ROOT / "bin" / command).read_text()
    found = re.search(r"from ([\w.]+) import (?:\w+, )*(\w+Config)\b", source)
    return getattr(importlib.import_module(found[1]), found[2]) if found else None


def _command(name: str) -> str:
    config = config_of(name)
    if config is None:
        return f"### bin/{name}\n\n```text\n{_help(name)}\n```\n"
    rows = _rows(name, config)
    if issubclass(config, AnnotateConfig) and config is not AnnotateConfig:
        rows = [row for row in rows if row not in _rows("annotate", AnnotateConfig)]
    table = _table(("flag", "value", "default", ""), rows)
    return f"### bin/{name}\n\n{_flowing(config.__doc__)}\n\n{table}\n"


def _rows(name: str, config: type[msgspec.Struct]) -> list[tuple[str, ...]]:
    """The flags of a command: those that it cannot do without, the others, and those that every command has."""
    fields = zip(msgspec.structs.fields(config), _types(config), _sentences(config), strict=True)
    rows = sorted((_row(*each) for each in fields), key=lambda row: row[2] != "required" and row[0].startswith("`--"))
    rows.append(("`--config`", "TEXT", "", "TOML file of flags."))
    if "PRESETS" in (ROOT / "bin" / name).read_text():
        rows.append(
            ("`--preset`", ", ".join(map(_code, PRESETS)), "", "Several flags at once, see [Presets](#presets).")
        )
    return rows


def _help(name: str) -> str:
    shown = subprocess.run(
        [str(ROOT / "bin" / name), "--help"],
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in shown.stdout.strip().splitlines())


def _types(config: type[msgspec.Struct]) -> list[Any]:
    hints = typing.get_type_hints(config, include_extras=True)
    return [hints[name] for name in config.__struct_fields__]


def _row(field: msgspec.structs.FieldInfo, kind: Any, sentence: str) -> tuple[str, ...]:
    """Flag, values, default and meaning of one field."""
    flag = field.encode_name.replace("_", "-")
    positional = POSITIONAL in getattr(kind, "__metadata__", ())
    shown = f"`{flag.upper()}`" if positional else f"`--{flag}`"
    if _bare(kind) is bool:
        return f"`--{flag}`, `--no-{flag}`", "", "on" if field.default else "off", sentence
    return shown, _values(_bare(kind)), _default(field), sentence


def _bare(kind: Any) -> Any:
    return typing.get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def _values(kind: Any) -> str:
    """What may be given for a type: TEXT, INT, NUMBER, the words of a Literal, several with dots."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return ", ".join(_code(value) for value in inner)
    if origin is tuple:
        return f"{_values(inner[0])} ..."
    if inner:
        return " or ".join(_values(each) for each in inner if each is not type(None))
    return {str: "TEXT", int: "INT", float: "NUMBER"}.get(kind, "TEXT")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if default in (None, (), ""):
        return ""
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return _code(shown.replace(f"{ROOT}/", ""))


def _sentences(config: type[msgspec.Struct]) -> list[str]:
    """The sentence under every field, a base's where the struct has none of its own."""
    found: dict[str, str] = {}
    for each in reversed(config.__mro__):
        if issubclass(each, msgspec.Struct) and each is not msgspec.Struct:
            found |= dict(_documented(each))
    return [_flowing(found.get(name, "")) for name in config.__struct_fields__]


@functools.cache
def _documented(struct: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(body, ast.ClassDef)
    return tuple(_pairs(body.body))


def _pairs(lines: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in itertools.pairwise(lines):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield ast.unparse(field.target), str(below.value.value)


def _presets() -> Iterator[str]:
    yield "## Presets\n"
    rows = [
        (_code(name), ", ".join(f"{key} = {value}" for key, value in flags.items())) for name, flags in PRESETS.items()
    ]
    yield _table(("preset", "flags"), rows) + "\n"


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n"
    found = re.findall(r"^    (\w+) +(\d+)  (.*)$", errors.__doc__ or "", re.MULTILINE)
    assert {int(code) for _, code, _ in found} == {each.exit_code for each in errors.OmegaprmError.__subclasses__()}
    yield (
        _table(
            ("code", "error", "meaning"), [("0", "", "done"), *((code, _code(name), say) for name, code, say in found)]
        )
        + "\n"
    )


def _metrics() -> Iterator[str]:
    yield "## Metrics\n"
    rows = [(_code(each.name), each.kind, _code(each.label) if each.label else "", each.text) for each in FIGURES]
    yield _table(("metric", "kind", "label", ""), rows) + "\n"


def _formats() -> Iterator[str]:
    yield "## Keys of formats\n"
    for title, struct in FORMATS.items():
        rows = [
            (_code(field.encode_name), _kind(kind), "required" if field.required else "")
            for field, kind in zip(msgspec.structs.fields(struct), _types(struct), strict=True)
        ]
        yield f"### {title}\n\n{_flowing(struct.__doc__)}\n\n{_table(('key', 'type', ''), rows)}\n"


def _kind(kind: Any) -> str:
    """A type as JSON knows it."""
    inner = [each for each in typing.get_args(kind) if each is not Ellipsis]
    origin = typing.get_origin(kind)
    if origin in (tuple, list):
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"object of {_kind(inner[1])}"
    if inner:
        return " or ".join(_kind(each) for each in inner)
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
    return plain.get(kind) or f"object with {', '.join(map(_code, kind.__struct_fields__))}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(value: object) -> str:
    return f"`{value}`"


def _flowing(text: str | None) -> str:
    """A docstring on one line, "<tags>" kept from being read as markup."""
    return re.sub(r"<(\w+)>", r"`<\1>`", " ".join((text or "").split()))


if __name__ == "__main__":
    PAGE.write_text(page())
