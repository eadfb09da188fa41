"""What README, CONTRIBUTING and docs/ say is so: commands, flags, exit codes, samples, links, import rules."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from PIL import Image

from docs import make_reference
from omegaprm.engine import commands, errors, problems, records
from omegaprm.engine.few_shot import read_examples
from omegaprm.engine.metrics import FIGURES
from omegaprm.engine.presets import PRESETS
from omegaprm.engine.prompts import StepFormat
from omegaprm.evaluator import candidates
from omegaprm.trainer import rows

ROOT = Path(__file__).resolve().parents[1]
README, CONTRIBUTING, FORMATS = ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "formats.md"
DAEMON, FINDINGS, SCALING = (ROOT / "docs" / f"{name}.md" for name in ("daemon", "findings", "scaling"))
GUIDES = tuple(
    ROOT / "docs" / f"{name}.md" for name in ("getting-started", "your-own-problems", "your-own-model", "from-mm-prm")
)
DOCUMENTS = (
    README,
    CONTRIBUTING,
    FORMATS,
    ROOT / "docs" / "judge.md",
    ROOT / "docs" / "evaluation.md",
    FINDINGS,
    ROOT / "docs" / "viewer.md",
    ROOT / "docs" / "exports.md",
    ROOT / "docs" / "economy.md",
    ROOT / "docs" / "performance.md",
    ROOT / "docs" / "training.md",
    ROOT / "docs" / "step-judge.md",
    DAEMON,
    SCALING,
    ROOT / "docs" / "reference.md",
    *GUIDES,
)
PACKAGES = ("engine", "trainer", "evaluator")
PRESETS_OF = {"annotate": PRESETS, "bench": PRESETS}
WITHOUT_STRUCT = {"quickstart", "setup", "test", "pipeline"}
"""Commands that have no config struct: those that set up the environment, and bin/pipeline, whose file has a table
a stage. bin/test takes pytest's arguments."""

COMMAND = re.compile(r"(?<![\w/.])bin/([a-z]+(?:-[a-z]+)*)\b(?!\.)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def executables() -> set[str]:
    return {path.name for path in (ROOT / "bin").iterdir() if path.is_file() and os.access(path, os.X_OK)}


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)


def table(document: Path, heading: str) -> list[list[str]]:
    """Cells of the body of the first table whose heading row begins with the given text."""
    lines = document.read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(heading))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def struct_of(command: str) -> type[msgspec.Struct]:
    """The config struct that docs/formats.md names for a command."""
    names = {cells[0]: cells[1].strip("`") for cells in table(FORMATS, "| command | struct |")}
    module, _, name = names[f"`bin/{command}`"].rpartition(".")
    found: type[msgspec.Struct] = getattr(importlib.import_module(module), name)
    return found


def flags_of(command: str) -> set[str]:
    if command in WITHOUT_STRUCT:
        return set(FLAG.findall((ROOT / "bin" / command).read_text()))
    fields = {field.name.replace("_", "-") for field in msgspec.structs.fields(struct_of(command))}
    common = {"--help", "--config", "--tyro-print-completion", *(["--preset"] if command in PRESETS_OF else [])}
    return common | {f"--{name}" for name in fields} | {f"--no-{name}" for name in fields}


def command_lines(documents: Iterable[Path] = (README, SCALING, *GUIDES)) -> list[tuple[str, list[str]]]:
    """(command, arguments) of every line in the shell blocks of documents, shell variables set to 3."""
    found = []
    text = "".join(block for document in documents for block in blocks(document, "sh"))
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(re.sub(r"\$[A-Z_]+", "3", line), comments=True)
        at = next(at for at, word in enumerate(words) if COMMAND.fullmatch(word))
        found.append((words[at].removeprefix("bin/"), words[at + 1 :]))
    return found


def test_the_committed_reference_is_what_the_code_gives() -> None:
    assert make_reference.PAGE.read_text() == make_reference.page(), "run: python -m docs.make_reference"


def test_every_command_in_the_documents_is_an_executable() -> None:
    named = {name for document in DOCUMENTS for name in COMMAND.findall(document.read_text())}
    assert named <= executables()


def test_every_executable_is_in_readmes_table_of_commands() -> None:
    listed = {cells[0] for cells in table(README, "| command | what it does |")}
    assert listed == {f"`bin/{name}`" for name in executables()}


def test_the_table_of_structs_is_that_of_the_commands() -> None:
    for name in executables() - WITHOUT_STRUCT:
        assert struct_of(name).__name__ in (ROOT / "bin" / name).read_text()


def test_flags_in_the_guides_commands_exist() -> None:
    assert command_lines()
    for command, arguments in command_lines():
        used = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        assert used <= flags_of(command), f"bin/{command}"


def test_flags_anywhere_in_the_documents_exist() -> None:
    known = {"--nproc-per-node", "--nnodes", "--rdzv-backend", "--rdzv-endpoint", "--shutdown-timeout"}.union(
        *(flags_of(name) for name in executables())
    )
    known |= set(FLAG.findall((ROOT / "examples" / "generate.py").read_text()))
    known |= set(FLAG.findall((ROOT / "tests" / "conftest.py").read_text()))
    known |= set(FLAG.findall((ROOT / "examples" / "economy.py").read_text()))
    known |= set(FLAG.findall((ROOT / "examples" / "train_policy.py").read_text()))
    known |= set(FLAG.findall((ROOT / "tests" / "engine" / "original_mmprm.py").read_text()))
    for document in DOCUMENTS:
        text = re.sub(r"^```text$.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
        assert set(FLAG.findall(text)) <= known, document.name


@pytest.mark.parametrize(
    ("command", "arguments"), [line for line in command_lines() if line[0] not in WITHOUT_STRUCT], ids=str
)
def test_the_guides_commands_parse_as_they_stand(command: str, arguments: list[str]) -> None:
    config = commands.parse(struct_of(command), arguments, command, PRESETS_OF.get(command))
    assert isinstance(config, struct_of(command))


def test_the_sample_of_a_config_file_is_read(tmp_path: Path) -> None:
    (sample,) = blocks(FORMATS, "toml")
    file = tmp_path / "flags.toml"
    file.write_text(sample)
    arguments = ["--seeds", "s", "--model", "m", "--store", "d", "--preset", "paper", "--config", str(file)]
    config: Any = commands.parse(struct_of("annotate"), arguments, "annotate", PRESETS)
    assert (config.num_rollouts, config.max_searches, config.length_scale) == (8, 100, 500.0)


def test_the_table_of_published_presets_shows_every_value_that_they_set() -> None:
    plain: Any = commands.parse(struct_of("annotate"), ["--seeds", "s", "--model", "m", "--store", "d"], "annotate")
    shown: dict[str, dict[str, str]] = {"default": {}, "mmprm": {}, "paper": {}}
    for flags, *columns in table(ROOT / "docs" / "from-mm-prm.md", "| flags | default |"):
        names = [name.removeprefix("--").replace("-", "_") for name in FLAG.findall(flags)]
        for column, cell in zip(shown, columns, strict=True):
            if cell != "-":
                shown[column] |= dict(zip(names, cell.split(", "), strict=True))
    assert {name: as_shown(getattr(plain, name)) for name in shown["default"]} == shown["default"]
    for preset in ("mmprm", "paper"):
        assert {name: as_shown(value) for name, value in PRESETS[preset].items()} == shown[preset]
        assert set(PRESETS[preset]) <= set(shown["default"])


def as_shown(value: Any) -> str:
    """1000 and 2000.0 as people write them; 1.0 stays apart from the count 1."""
    return f"{value:g}" if isinstance(value, float) and value != 1.0 else str(value)


def test_documented_exit_codes_are_those_of_the_errors() -> None:
    of_errors = {error.exit_code for error in errors.OmegaprmError.__subclasses__()}
    listed = [int(cells[0]) for cells in table(FORMATS, "| code |")]
    assert listed == sorted({0, *of_errors})


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    listed = [[cells[0].strip("`"), cells[1], cells[2].strip("`")] for cells in table(DAEMON, "| metric | kind |")]
    assert listed == [[figure.name, figure.kind, figure.label] for figure in FIGURES]


def test_documented_errors_have_the_exit_codes_given() -> None:
    for code, name, *_ in table(FORMATS, "| code |"):
        if name:
            assert getattr(errors, name.strip("`")).exit_code == int(code)


def sample(document: Path, having: str) -> str:
    return next(text for text in blocks(document, "json") if having in text)


def with_picture(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "images" / "p1.png")
    return folder


def test_the_sample_of_solved_problems_reads_back_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "shots.json").write_text(sample(ROOT / "docs" / "your-own-model.md", '"steps"'))
    for step_format in get_args(StepFormat):
        assert read_examples(str(tmp_path / "shots.json"), step_format)


@pytest.mark.parametrize("document", [README, FORMATS], ids=lambda path: path.name)
def test_the_seeds_sample_is_usable(document: Path, tmp_path: Path) -> None:
    file = with_picture(tmp_path) / "seeds.json"
    file.write_text(next(text for text in blocks(document, "json") if "solutions_splits" not in text))
    seeds = problems.read_problems([file])
    assert not seeds.rejected
    assert len(seeds.problems) == len(json.loads(file.read_text()))


def test_the_samples_of_rows_and_meta_file_are_usable_together(tmp_path: Path) -> None:
    with_picture(tmp_path / "images-root")
    (tmp_path / "train.jsonl").write_text(sample(FORMATS, "conversations"))
    (tmp_path / "meta.json").write_text(sample(FORMATS, "repeat_time"))
    read = rows.read([str(tmp_path / "meta.json")])
    assert (len(read.rows), read.num_bad) == (1, 0)


def test_the_candidates_sample_is_usable(tmp_path: Path) -> None:
    file = with_picture(tmp_path) / "candidates.json"
    file.write_text(sample(FORMATS, "solutions_splits"))
    loaded = candidates.load([str(file)])
    assert not loaded.rejected
    assert loaded.candidates[0].answers == ("11", "14")


def test_the_readmes_results_are_those_of_the_findings() -> None:
    """README shows some lines of the table in docs/findings.md, of the full quickstart and without intervals."""
    heading = "| | sums | digits |"
    of_findings = {name: [cell.split()[0] for cell in cells[2:]] for name, *cells in table(FINDINGS, heading)}
    of_readme = {name: cells[:2] for name, *cells in table(README, heading)}
    assert of_readme
    assert of_readme == {name: of_findings.get(name) for name in of_readme}


@pytest.mark.parametrize("struct", [records.Candidates], ids=lambda struct: struct.__name__)
def test_every_field_of_a_written_format_is_described(struct: type[msgspec.Struct]) -> None:
    text = FORMATS.read_text()
    assert [name for name in struct.__struct_fields__ if f"`{name}`" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_resolve(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        path, _, anchor = link.partition("#")
        if link.startswith(("http://", "https://")):
            continue
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(document: Path) -> set[str]:
    """Headings as GitHub links to them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_named_in_the_documents_exist(document: Path) -> None:
    folders = "engine|trainer|evaluator|examples|tests|docs|bin|\\.ci"
    named = re.findall(rf"(?<![\w/.])(?:{folders})/[\w./-]*\w", document.read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_no_place_on_a_machine(document: Path) -> None:
    assert re.findall(r"(?<![\w.$])/(?:work|root|home|opt|tmp|usr|mnt)/", document.read_text()) == []


def imports(file: Path) -> Iterator[str]:
    """Modules of this project that a file imports anywhere in it, "from x import y" as x.y where y is a module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}" if is_module(f"{node.module}.{alias.name}") else str(node.module)


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def import_rules() -> dict[str, set[str]]:
    """The modules of other packages that each package may import, by CONTRIBUTING's table."""
    return {
        cells[0].strip("`"): set(re.findall(r"`([\w.]+)`", cells[1]))
        for cells in table(CONTRIBUTING, "| package | may import |")
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_what_contributing_allows(package: str) -> None:
    allowed = import_rules()[package]
    assert all(is_module(name) for name in allowed)
    foreign = {*PACKAGES, "examples", "tests"} - {package}
    for file in sorted((ROOT / package).rglob("*.py")):
        crossing = {name for name in imports(file) if name.removeprefix("omegaprm.").partition(".")[0] in foreign}
        assert crossing <= allowed, file.relative_to(ROOT)


def test_the_import_reader_sees_every_form(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "import omegaprm.trainer.prm\ndef f():\n    from omegaprm.engine import tree\n"
        "    from omegaprm.engine.records import Problem\n"
    )
    assert sorted(imports(file)) == ["omegaprm.engine.records", "omegaprm.engine.tree", "omegaprm.trainer.prm"]


def test_the_checker_serves_the_report_and_the_tests_alone() -> None:
    reports = {"report.py", "quickstart.py", "economy_figures.py"}
    makers = {"examples.checker": {"truth.py"}, "examples.truth": reports}
    for module, allowed in makers.items():
        users = {
            file.name
            for package in (*PACKAGES, "examples", "bin")
            for file in python_files(package)
            if module in imports(file)
        }
        assert users == allowed


def python_files(folder: str) -> list[Path]:
    found = list((ROOT / folder).rglob("*.py"))
    if folder == "bin":
        found += [ROOT / "bin" / name for name in executables() if "python3" in first_line(ROOT / "bin" / name)]
    return found


def first_line(path: Path) -> str:
    return path.read_text().partition("\n")[0]


def test_modules_named_in_the_documents_exist() -> None:
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(
            r"`((?:(?:omegaprm\.)?(?:engine|trainer|evaluator)|examples)(?:\.\w+)+)`", document.read_text()
        )
    }
    assert named
    assert [name for name in sorted(named) if not (is_module(name) or is_in_module(name))] == []


def is_in_module(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    return is_module(module) and hasattr(importlib.import_module(module), attribute)
