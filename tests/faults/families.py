"""The families of faults: what each promises, and the table of tries and passes that ends a test run."""

from __future__ import annotations

import pytest

FAMILIES = {
    "kill": "SIGKILL at any moment: the same command goes on, the export is that of an undisturbed run",
    "points": "SIGKILL at named points of making, commit, group commit, map growth, drain and export: as above",
    "disk": "a failing write, sync or rename, a full disk: 74, all acknowledged readable, goes on once there is room",
    "damage": "a damaged value, page or file, another schema: named, refused or quarantined, never read as truth",
    "rivals": "a second daemon on a store: 73 and no harm; a dead process's lock file is none",
    "engine": "a dead engine: 70, or restarted with nothing lost or doubled; no process of its own outlives the daemon",
    "signal": "SIGTERM in every phase: 75 within the grace; a second one leaves at once",
    "input": "bad rows, images, answers and texts: set aside with a reason or used, the others go on",
    "flags": "changed flags on resume: throughput free; model, prompt, seeds, rule refused with 78, both values named",
    "time": "a jumping clock, a stalled loop, a policy that never answers: no harm, told with the stack, quarantined",
    "determinism": "the same export at any concurrency, order of answers, sharding and number of restarts",
}


def write_table(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each family: its tests, its tries and how many passed."""
    tests = dict.fromkeys(FAMILIES, 0)
    passed, tried = tests.copy(), tests.copy()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            told = dict(getattr(report, "user_properties", ()))
            for family in told.get("families", ()):
                tests[family] += 1
                passed[family] += outcome == "passed"
                tried[family] += told.get("tries", 1)
    if not any(tests.values()):
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'family':<12} {'tests':>5} {'passed':>6} {'tries':>6}  promise")
    for family, promise in FAMILIES.items():
        terminalreporter.write_line(
            f"{family:<12} {tests[family]:>5} {passed[family]:>6} {tried[family]:>6}  {promise}"
        )
