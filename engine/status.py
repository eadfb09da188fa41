"""What stores hold, also while they are written: problems by state, outcomes, tokens, and what is damaged."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import lmdb.verify
import msgspec
from tyro.conf import Positional

from omegaprm.engine.commands import require_stores
from omegaprm.engine.errors import StoreFailed
from omegaprm.engine.history import SNAPSHOT_KEY, last_snapshot
from omegaprm.engine.problems import REJECTED_KEY as REJECTED_KEY
from omegaprm.engine.problems import Rejected
from omegaprm.engine.prompt_version import note
from omegaprm.engine.records import Counts, Estimate, ProblemRecord, Verdict
from omegaprm.engine.shares import Shares, share_lines, warnings
from omegaprm.engine.snapshot import Snapshot, clock_text
from omegaprm.engine.snapshot import line as run_line
from omegaprm.engine.store import FINGERPRINT_KEY, Store, StoreDamaged, estimate_key, problem_key, unpack

NUM_BINS = 10
"""Bins of the histogram between MC = 0 and MC = 1, which are counted apart."""
BAR_CHARACTERS = 30
WATCH_SECONDS = 2.0
WATCH_REST = 4.0
"""Between two looks of --watch: so long, or so many times what a look takes."""


class StatusConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Show what stores hold. Several stores, such as the shards of one run, are taken together."""

    stores: Positional[tuple[str, ...]]
    """Folders of the stores."""
    json: bool = False
    """Print one JSON object."""
    watch: bool = False
    """Show them again every few seconds, until the run is done or Ctrl-C."""
    verify: bool = False
    """Check every record and page, and that the records make whole trees; exit code 74 where there is damage."""

    def __post_init__(self) -> None:
        require_stores(self.stores)


class Damage(msgspec.Struct, frozen=True):
    """A record that is not what was written: its table, its key in hex, and what is wrong."""

    store: str
    table: str
    key: str
    reason: str


class Quarantined(msgspec.Struct, frozen=True):
    id: str
    reason: str


class Summary(msgspec.Struct, kw_only=True):
    """What bin/status --json prints.

    root_mc counts roots by MC: "0", "(0.0, 0.1]" ... "(0.9, 1.0)", "1", and "none" where nothing was judged.
    outcomes, from_root and from_prefixes count rollouts by outcome: all, those drawn from the root and those drawn from
    prefixes. warnings are sentences: these two differ by too much, or a store was made under older prompts. pages says
    whether --verify could check the pages beneath the records too.
    """

    stores: list[str]
    problems: dict[str, int]
    quarantined: list[Quarantined]
    rejected: list[Rejected]
    num_estimates: int = 0
    num_rollouts: int = 0
    num_tokens: int = 0
    num_cached_verdicts: int = 0
    outcomes: dict[str, int]
    from_root: dict[str, int]
    from_prefixes: dict[str, int]
    root_mc: dict[str, int]
    settings: list[dict[str, str]]
    damaged: list[Damage]
    warnings: list[str] = []
    pages: str = "not checked"
    runs: list[Snapshot] = []


def status(config: StatusConfig) -> None:
    """Print what the stores hold; StoreFailed at the end where --verify found damage."""
    try:
        while not _shown_once(config) and config.watch:
            pass
    except KeyboardInterrupt:
        if not config.watch:
            raise


def _shown_once(config: StatusConfig) -> bool:
    """Print once, and with --watch wait a while; whether every run is done."""
    started = time.monotonic()
    summary = _print(config)
    if config.verify and summary.damaged:
        raise StoreFailed(f"{', '.join(config.stores)}: {len(summary.damaged)} damaged records or pages")
    done = len(summary.runs) == len(config.stores) and all(run.state == "done" for run in summary.runs)
    if config.watch and not done:
        time.sleep(max(WATCH_SECONDS, WATCH_REST * (time.monotonic() - started)))
    return done


def _print(config: StatusConfig) -> Summary:
    with ExitStack() as opened:
        stores = [opened.enter_context(Store.open_reader(Path(path))) for path in config.stores]
        summary = summarise(config.stores, stores)
        if config.verify:
            _verify_caches(config.stores, stores, summary)
            _verify_trees(config.stores, stores, summary)
            summary.pages = _verify_pages(config.stores, stores, summary)
    if config.json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        clear = "\x1b[H\x1b[2J" if config.watch and sys.stdout.isatty() else ""
        sys.stdout.write(clear + "\n".join(_plain(line) for line in _lines(summary, config.verify)) + "\n")
    sys.stdout.flush()
    return summary


def summarise(names: Sequence[str], stores: Sequence[Store]) -> Summary:
    """Fold over the records of the stores. Damaged ones are listed and left out of every count."""
    summary = Summary(
        stores=list(names),
        problems={"open": 0, "done": 0, "quarantined": 0},
        quarantined=[],
        rejected=[],
        outcomes={},
        from_root=dict.fromkeys(Counts.__struct_fields__, 0),
        from_prefixes=dict.fromkeys(Counts.__struct_fields__, 0),
        root_mc=dict.fromkeys(mc_labels(), 0),
        settings=[],
        damaged=[],
    )
    for name, store in zip(names, stores, strict=True):
        _add_meta(summary, name, store)
        _add_problems(summary, name, store)
        _add_estimates(summary, name, store)
        summary.num_cached_verdicts += store.count("verdicts")
        _add_run(summary, name, store)
    summary.outcomes = {name: summary.from_root[name] + count for name, count in summary.from_prefixes.items()}
    summary.warnings += warnings(Shares.of(summary.from_root, summary.from_prefixes))
    return summary


def _add_meta(summary: Summary, name: str, store: Store) -> None:
    try:
        summary.settings.append(settings := store.fingerprint())
        summary.warnings += [older] if (older := note(name, settings)) else []
    except StoreDamaged as error:
        summary.damaged.append(Damage(name, "meta", FINGERPRINT_KEY.hex(), str(error)))
    try:
        rejected = msgspec.msgpack.decode(store.get("meta", REJECTED_KEY) or b"\x90", type=list[Rejected])
    except msgspec.MsgspecError as error:
        summary.damaged.append(Damage(name, "meta", REJECTED_KEY.hex(), f"cannot be decoded: {error}"))
    else:
        summary.rejected = list(dict.fromkeys([*summary.rejected, *rejected]))


def _add_run(summary: Summary, name: str, store: Store) -> None:
    try:
        run = last_snapshot(store)
    except StoreDamaged as error:
        summary.damaged.append(Damage(name, "meta", SNAPSHOT_KEY.hex(), str(error)))
    else:
        summary.runs += [] if run is None else [run]


def _add_problems(summary: Summary, name: str, store: Store) -> None:
    for key, value in store.scan("problems"):
        try:
            record = unpack(value, ProblemRecord)
        except StoreDamaged as error:
            summary.damaged.append(Damage(name, "problems", key.hex(), str(error)))
            continue
        if key != problem_key(record.problem.id):
            reason = f"holds problem {record.problem.id!r}, which has another key"
            summary.damaged.append(Damage(name, "problems", key.hex(), reason))
            continue
        summary.problems[record.state] += 1
        if record.state == "quarantined":
            summary.quarantined.append(Quarantined(record.problem.id, record.reason))


def _add_estimates(summary: Summary, name: str, store: Store) -> None:
    for key, value in store.scan("estimates"):
        try:
            estimate = unpack(value, Estimate)
        except StoreDamaged as error:
            summary.damaged.append(Damage(name, "estimates", key.hex(), _whose(store, key) + str(error)))
            continue
        if key != estimate_key(key[:-4], estimate.number):
            reason = f"{_whose(store, key)}holds estimate {estimate.number}, which has another key"
            summary.damaged.append(Damage(name, "estimates", key.hex(), reason))
            continue
        drawn = summary.from_root if estimate.origin is None else summary.from_prefixes
        for rollout in estimate.rollouts:
            drawn[rollout.outcome] += 1
            summary.num_tokens += rollout.num_tokens
        summary.num_estimates += 1
        summary.num_rollouts += len(estimate.rollouts)
        if estimate.origin is None:
            summary.root_mc[mc_label(estimate.counts.value)] += 1


def _whose(store: Store, key: bytes) -> str:
    """The problem and number that a key of the table "estimates" stands for, as the head of a sentence."""
    number = int.from_bytes(key[-4:], "big")
    try:
        record = unpack(store.get("problems", key[:-4]) or b"", ProblemRecord)
    except StoreDamaged:
        return f"estimate {number} of an unknown problem: "
    return f"estimate {number} of problem {record.problem.id}: "


def _verify_caches(names: Sequence[str], stores: Sequence[Store], summary: Summary) -> None:
    """Check the records that the summary does not read."""
    for name, store in zip(names, stores, strict=True):
        for key, value in store.scan("verdicts"):
            try:
                unpack(value, Verdict)
            except StoreDamaged as error:
                summary.damaged.append(Damage(name, "verdicts", key.hex(), str(error)))


def _verify_trees(names: Sequence[str], stores: Sequence[Store], summary: Summary) -> None:
    """Grow every tree once more; not those of a store that is written meanwhile."""
    from omegaprm.engine.verify import misfits

    for name, store in zip(names, stores, strict=True):
        before = store.last_transaction()
        found = [Damage(name, misfit.table, misfit.key.hex(), misfit.reason) for misfit in misfits(store)]
        if store.last_transaction() == before:
            summary.damaged += found


def _verify_pages(names: Sequence[str], stores: Sequence[Store], summary: Summary) -> str:
    """Walk the files' pages. A store that is written meanwhile cannot be judged this way."""
    busy = []
    for name, store in zip(names, stores, strict=True):
        before = store.last_transaction()
        try:
            found = lmdb.verify.verify(name)
        except (lmdb.verify.VerifyError, OSError) as error:
            found = [str(error)]
        if store.last_transaction() != before:
            busy.append(name)
        else:
            summary.damaged += [Damage(name, "pages", "", reason) for reason in found]
    return f"checked, but not of {', '.join(busy)}: written meanwhile" if busy else "checked"


def mc_labels() -> list[str]:
    """The bins of MC values, in order."""
    inner = [f"({at / NUM_BINS:.1f}, {(at + 1) / NUM_BINS:.1f}]" for at in range(NUM_BINS - 1)]
    return ["none", "0", *inner, f"({1 - 1 / NUM_BINS:.1f}, 1.0)", "1"]


def mc_label(value: float | None) -> str:
    """The bin of an MC value; bins are open to the left."""
    if value is None or value in (0, 1):
        return "none" if value is None else f"{value:.0f}"
    return mc_labels()[2 + min(int(-(-value * NUM_BINS // 1)) - 1, NUM_BINS - 1)]


def _lines(summary: Summary, verify: bool) -> Iterator[str]:
    states = ", ".join(f"{count} {state}" for state, count in summary.problems.items())
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in summary.outcomes.items())
    yield f"problems    {sum(summary.problems.values())}: {states}"
    yield f"estimates   {summary.num_estimates}"
    yield f"rollouts    {summary.num_rollouts}: {outcomes}"
    yield from share_lines(Shares.of(summary.from_root, summary.from_prefixes))
    for warning in summary.warnings:
        yield f"warning     {warning}"
    yield f"tokens      {summary.num_tokens}"
    yield f"verdicts    {summary.num_cached_verdicts} cached"
    for run in summary.runs:
        yield f"run         {run.state}, as of {clock_text(max(time.time() - run.at, 0))} ago: {run_line(run)}"
    yield from _histogram(summary.root_mc)
    for problem in summary.quarantined:
        yield f"quarantined {problem.id}: {problem.reason}"
    for row in summary.rejected:
        yield f"rejected    {row.file}:{row.line}: {row.field}: {row.reason}"
    yield from _damage_lines(summary, verify)


def _histogram(root_mc: dict[str, int]) -> Iterator[str]:
    most = max(root_mc.values())
    if not most:
        return
    yield "MC of roots"
    for label, count in root_mc.items():
        yield f"{label:>11} {count:>6} {'#' * round(BAR_CHARACTERS * count / most)}".rstrip()


def _damage_lines(summary: Summary, verify: bool) -> Iterator[str]:
    if not verify:
        if summary.damaged:
            yield f"damaged     {len(summary.damaged)} records, left out above; --verify names them"
        return
    yield f"verified    every record; pages {summary.pages}; {len(summary.damaged)} damaged"
    for damage in summary.damaged:
        yield f"damaged     {damage.store}: {damage.table} {damage.key}: {damage.reason}"


def _plain(line: str) -> str:
    """Without characters that would steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
