"""`press validate`: nbval re-executes pages in profile book and compares with what is stored.

Every cell must run, the verdict cell must say the same verdicts, and each claim's value must lie within a tolerance derived from
its own interval. On the CPU model of the stored run any disagreement fails; on another one it is reported, and fails when more than
two pages disagree. A claim that the register calls `timed` is measured with a clock; its disagreement is only ever reported.
"""

import datetime
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encore import datasets, paths, register
from press import files, quarantine
from press.execute import cpu_model
from press.warm import kernel_environment

MAX_ELSEWHERE = 2
CELL_TIMEOUT_S = 600
BY_CLOCK = "measured with a clock"


@dataclass
class Report:
    """What validation found. `failures` fail it; `reported` are disagreements elsewhere, of the clock, or of quarantined pages."""

    pages: int = 0
    failures: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)


def tolerance(test: dict[str, Any]) -> float:
    """How far a re-execution may lie from the stored value: the width of the stored 95 % interval, 2.8 standard deviations of the
    difference of two independent runs; without an interval, for identities and bounds, only the verdict counts (infinite)."""
    if test["low"] is None or test["value"] is None:
        return math.inf
    return (test["high"] - test["low"]) + 1e-6 * abs(test["value"])


def disagreements(claims: list[dict[str, Any]], fresh: dict[str, Any]) -> list[str]:
    """Those of the stored `claims` whose verdict changed or whose value left its tolerance."""
    found, new = [], {c["id"]: c for c in fresh["claims"]}
    for c in claims:
        if c["id"] not in new:
            found.append(f"claim {c['id']} was not measured")
            continue
        if new[c["id"]]["verdict"] != c["verdict"]:
            found.append(f"claim {c['id']} is now {new[c['id']]['verdict']}, stored: {c['verdict']}")
        for old, now in zip(c["tests"], new[c["id"]]["tests"], strict=True):
            if old["value"] is not None and now["value"] is not None and abs(now["value"] - old["value"]) > tolerance(old):
                found.append(f"claim {c['id']}: value {now['value']:.4g}, stored {old['value']:.4g}, tolerance {tolerance(old):.2g}")
    return found


def choose(entries: list[register.Entry], budget_s: float, today: datetime.date | None = None) -> list[register.Entry]:
    """Pages to validate within a CPU budget: the latest executed first, then the others in an order that changes from day to day."""
    day = (today or datetime.date.today()).isoformat()
    stored = {e.name: files.read_result(e.name) or {} for e in entries}
    newest = max((r.get("date", "") for r in stored.values()), default="")

    def order(e):
        return stored[e.name].get("date") != newest, hashlib.sha256(f"{day} {e.name}".encode()).hexdigest()

    chosen, spent = [], 0.0
    for e in sorted(entries, key=order):
        spent += stored[e.name].get("seconds", e.budget.book_s)
        if spent > budget_s and chosen:
            break
        chosen.append(e)
    return chosen


def validate(entries: list[register.Entry], workers: int = 2) -> Report:
    """Re-execute pages under nbval and compare. Takes as long as running them."""
    report = Report()
    todo = []
    for e in entries:
        if files.notebook(e.name).is_file() and files.result(e.name).is_file():
            for d in e.data_ids:
                datasets.fetch(d)
            todo.append(e)
        else:
            report.failures.append(f"{e.name} was never run; run it: press run {e.name}")
    if not todo:
        return report
    with tempfile.TemporaryDirectory(prefix="encore-validate-") as folder:
        failed, log, ran = _nbval(todo, Path(folder), workers)
        for e in todo:
            if e.name not in ran:
                report.failures.append(f"{e.name}: nbval ran none of its cells; it printed: {log[-400:]}")
                continue
            report.pages += 1
            fresh_path = Path(folder, f"{e.chapter}--{e.slug}.json")
            crashed = [f for f in failed.get(e.name, []) if "output mismatch" not in f]
            stored = files.read_result(e.name)
            if not fresh_path.is_file() or crashed:
                found = [*crashed, "no verdict was reached"] if not fresh_path.is_file() else crashed
                _file(report, e, found, crash=True)
            else:
                fresh, clocked = json.loads(fresh_path.read_text()), {c.id for c in e.claims if c.timed}
                found = disagreements([c for c in stored["claims"] if c["id"] not in clocked], fresh)
                by_clock = disagreements([c for c in stored["claims"] if c["id"] in clocked], fresh)
                report.reported += [f"{e.name}: {line} ({BY_CLOCK})" for line in by_clock]
                _file(report, e, found or ([] if by_clock else failed.get(e.name, [])), crash=stored["cpu"] == cpu_model())
    elsewhere = {line.split(":")[0] for line in report.reported if "quarantined" not in line and BY_CLOCK not in line}
    if len(elsewhere) > MAX_ELSEWHERE:
        report.failures.append(
            f"{len(elsewhere)} pages disagree on this CPU model, at most {MAX_ELSEWHERE} may: {', '.join(sorted(elsewhere))}"
        )
    return report


def _file(report: Report, entry: register.Entry, found: list[str], crash: bool) -> None:
    for line in found:
        if entry.name in quarantine.names():
            report.reported.append(f"{entry.name}: {line} (quarantined)")
        else:
            (report.failures if crash else report.reported).append(
                f"{entry.name}: {line}; if it should differ, run it: press run {entry.name} --force"
            )


def _nbval(entries, folder: Path, workers: int) -> tuple[dict[str, list[str]], str, set[str]]:
    """Run nbval; returns failures by page, what it printed, and the pages of which it ran cells."""
    root, xml = paths.root(), folder / "nbval.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "press.nbval_plugin",
        "--nbval-lax",
        "--nbval-current-env",
        f"--nbval-cell-timeout={CELL_TIMEOUT_S}",
        "-n",
        str(min(workers, len(entries))),
        "--dist",
        "loadfile",
        f"--junitxml={xml}",
        f"--rootdir={root}",
        "-c",
        os.devnull,
        *(str(files.notebook(e.name)) for e in entries),
    ]
    env = {**kernel_environment(), "ENCORE_QUIET": "1", "ENCORE_RESULTS": str(folder), "ENCORE_ROOT": str(root)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    failed: dict[str, list[str]] = {}
    ran: set[str] = set()
    if not xml.is_file():
        return failed, done.stdout + done.stderr, ran
    for case in ET.parse(xml).getroot().iter("testcase"):
        where = f"{case.get('file') or ''} {case.get('classname')}"
        name = next((e.name for e in entries if re.search(rf"{e.chapter}[/.]{e.slug}(\b|\.ipynb)", where)), None)
        if name is None:
            continue
        ran.add(name)
        for bad in (*case.findall("failure"), *case.findall("error")):
            text = re.sub(r"\x1b\[[0-9;]*m", "", bad.text or "")
            kind = "output mismatch" if "mismatch" in text else "execution"
            gist = next((line for line in reversed(text.strip().splitlines()) if line.strip()), "")
            failed.setdefault(name, []).append(f"{case.get('name')} ({kind}): {gist.strip()[:200]}")
    return failed, done.stdout + done.stderr, ran
