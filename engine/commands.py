"""What every command in bin/ does alike: flags and TOML into a config struct, errors into exit codes."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from omegaprm.engine import lifecycle, log
from omegaprm.engine.errors import ConfigurationError, OmegaprmError, UsageError

Config = TypeVar("Config", bound=msgspec.Struct)
Presets = Mapping[str, Mapping[str, Any]]

COMPLETION = "--tyro-print-completion"
UNREAD = 128 + signal.SIGPIPE
"""The exit code of a command whose reader left, such as head; shells give it to any program that ends so."""
LOG_FLAG = "--log-format"
_FRAME = re.compile("[\u2500-\u257f]")
SHELLS = ("bash", "zsh", "fish")
"""What tyro itself writes a completion for."""


def require_stores(stores: Sequence[str]) -> None:
    """UsageError unless a command's stores are some, each given once, by whichever path."""
    if not isinstance(stores, tuple):  # tyro's own mark, before the command line is read
        return
    if not stores:
        raise UsageError("STORES: must name at least one store")
    folders = [Path(store).resolve() for store in stores]
    for at, folder in enumerate(folders):
        if folder in folders[:at]:
            raise UsageError(f"STORES: {stores[at]} is given twice")


def parse(config_type: type[Config], arguments: list[str], name: str, presets: Presets | None = None) -> Config:
    """Flags over the TOML of --config over --preset over the struct's defaults.

    Ends the process: with 0 after --help, 64 after flags or values that cannot be read, 78 after a TOML file
    that cannot. A TOML file sets any field by its name, "num_rollouts = 8"; an unknown name is an error.
    """
    asked = _take(arguments, LOG_FLAG)[1] if "log_format" in config_type.__struct_fields__ else None
    log.use("json" if asked == "json" else "text")
    rest, file = _take(arguments, "--config")
    rest, preset = _take(rest, "--preset")
    _, shell = _take(rest, COMPLETION)
    if shell not in (None, *SHELLS):
        fail(UsageError(f"{COMPLETION} {shell}: must be one of {', '.join(SHELLS)}"))
    try:
        values = {**_preset(preset, presets or {}), **(_toml(Path(file), config_type) if file else {})}
        default = config_type(**{field: values.get(field, value) for field, value in _defaults(config_type)})
    except (OmegaprmError, msgspec.ValidationError) as error:
        fail(error)
    description = config_type.__doc__ or ""
    if presets:
        description += f"\n\n--preset {'|'.join(presets)} sets several flags at once; --config FILE reads TOML."
    else:
        description += "\n\n--config FILE reads flags from TOML."
    log.use("json" if (asked or values.get("log_format")) == "json" else "text")
    try:
        return _read_flags(config_type, name, rest, default, description)
    except OmegaprmError as error:
        fail(error)


def _read_flags(
    config_type: type[Config], name: str, arguments: list[str], default: Config, description: str
) -> Config:
    """Read the flags, in tyro's words; in JSON lines what is wrong with them is one line.

    A reader of help or of completions that left early, such as head, is no fault.
    """
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said) if log.in_json() else contextlib.nullcontext():
            config: Config = tyro.cli(
                config_type, prog=f"bin/{name}", args=arguments, default=default, description=description
            )
        return config
    except SystemExit as stop:
        if stop.code in (None, 0):
            _leave_unread(0)
        if log.in_json():
            fail(UsageError(_sentence(said.getvalue())))
        raise SystemExit(UsageError.exit_code) from None
    except BrokenPipeError:
        _leave_unread(0)


def _leave_unread(exit_code: int) -> NoReturn:
    """End without a word about what was printed and nobody read."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    lifecycle.leave(exit_code)


def _sentence(boxed: str) -> str:
    """The words of tyro's box without its frame; its title once, where the words begin with it too."""
    title, *words = (" ".join(line.split()) for line in _FRAME.sub(" ", boxed.strip()).splitlines())
    said = " ".join(" ".join(words).split())
    return said if said.startswith(title) else f"{title}: {said}"


def _take(arguments: list[str], flag: str) -> tuple[list[str], str | None]:
    """Remove "flag VALUE" or "flag=VALUE" from the arguments, giving the value too."""
    for at, argument in enumerate(arguments):
        if argument.startswith(flag + "="):
            return arguments[:at] + arguments[at + 1 :], argument.partition("=")[2]
        if argument == flag:
            if at + 1 == len(arguments):
                fail(UsageError(f"{flag}: expected a value after it"))
            return arguments[:at] + arguments[at + 2 :], arguments[at + 1]
    return arguments, None


def _preset(name: str | None, presets: Presets) -> Mapping[str, Any]:
    if name is None:
        return {}
    if name not in presets:
        raise UsageError(f"--preset {name}: there is no such preset; there are {', '.join(presets) or 'none'}")
    return presets[name]


def _toml(path: Path, config_type: type[msgspec.Struct]) -> dict[str, Any]:
    """The file's fields, each checked against the struct's type."""
    try:
        table = msgspec.toml.decode(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise ConfigurationError(f"--config {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"--config {path}: not TOML: {error}") from error
    types = {field.name: field.type for field in msgspec.structs.fields(config_type)}
    values = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in types:
            raise ConfigurationError(f"--config {path}: {key}: there is no such flag")
        try:
            values[name] = _converted(value, types[name])
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"--config {path}: {key} = {value!r}: {error}") from error
    return values


def _converted(value: Any, kind: Any) -> Any:
    """The value as a flag's type; one text stands for a list of one, as on the command line."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        if not isinstance(value, str):
            raise
        try:
            return msgspec.convert([value], kind, strict=False)
        except msgspec.ValidationError:
            pass
        raise


def _defaults(config_type: type[msgspec.Struct]) -> list[tuple[str, Any]]:
    import tyro

    pairs: list[tuple[str, Any]] = []
    for field in msgspec.structs.fields(config_type):
        default = field.default
        if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        pairs.append((field.name, tyro.MISSING if default is msgspec.NODEFAULT else default))
    return pairs


def fail(error: Exception) -> NoReturn:
    """Print an error for a person, without a traceback, and end the process with its exit code."""
    exit_code = getattr(error, "exit_code", UsageError.exit_code)
    log.tell("error", f"error: {error}", exit_code=exit_code)
    lifecycle.leave(exit_code)


def run(body: Callable[[Config], None], config: Config) -> NoReturn:
    """Run a command's body and end the process with the exit code it earned."""
    try:
        body(config)
        sys.stdout.flush()
    except OmegaprmError as error:
        fail(error)
    except BrokenPipeError:
        _leave_unread(UNREAD)
    raise SystemExit(0)
