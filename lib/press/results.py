"""From an executed page to what is stored: the notebook, and the results file beside the register."""

import datetime
import platform
from pathlib import Path

import nbformat

from encore import register
from encore.page import RESULT_MIME, rejudge, verdict_bundle
from press import files, key, pair
from press.execute import Run
from press.files import PressError


def folder(profile: str, seed: int) -> Path | None:
    """Where runs other than the book's own are kept; None for the book's own (profile book, seed 0), which is committed."""
    return None if (profile, seed) == ("book", 0) else files.build() / "runs" / f"{profile}-seed{seed}"


def record(run: Run, entry: register.Entry, profile: str, seed: int, run_key: str) -> None:
    """Store a successful run, notebook first: in the tree for the book's own runs, else under _build/runs.

    `run_key` is the key the page was started with: what was edited while it ran must not make it look fresh.
    """
    nb = nbformat.reads(run.notebook, as_version=4)
    result = pair.result_of(nb)
    facts = {
        "key": run_key,
        "judge": key.judge(entry),
        "outputs": pair.outputs_digest(nb),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "seconds": run.seconds,
        "peak_mb": run.peak_mb,
        "cpu": run.cpu,
        "python": platform.python_version(),
    }
    result = {**result, **facts, "packages": key.packages_of(nb, entry)}
    nb.metadata["encore"] = {"slug": entry.name, "profile": profile, "seed": seed, **facts}
    place = folder(profile, seed)
    if place is None:
        pair.save(entry.name, nb)
        files.write_json(files.result(entry.name), result)
    else:
        files.write(place / f"{entry.name}.ipynb", nbformat.writes(nb) + "\n")
        files.write_json(place / f"{entry.name}.json", result)


def record_failure(run: Run) -> Path | None:
    """Keep the notebook of a failed run under _build/failed, as far as it got, for the reader of the error."""
    if not run.notebook:
        return None
    path = files.build() / "failed" / f"{run.name}.ipynb"
    files.write(path, run.notebook)
    return path


def judge(entry: register.Entry) -> list[str]:
    """Compute the verdicts of a page again from its stored samples; updates results file and notebook.

    Returns one line per claim whose verdict changed. Raises PressError if the page was never run.
    """
    stored, nb = files.read_result(entry.name), pair.read_executed(entry.name)
    if stored is None or nb is None:
        raise PressError(f"{entry.name} has no stored samples; run it: press run {entry.name}")
    fresh = rejudge(entry, stored)
    bundle = verdict_bundle(entry, {k: v for k, v in fresh.items() if k in pair.result_of(nb)})
    for _, cell in pair.code_cells(nb):
        for out in cell.outputs:
            if RESULT_MIME in out.get("data", {}):
                out["data"].update(bundle)
    fresh["judge"], fresh["outputs"] = key.judge(entry), pair.outputs_digest(nb)
    nb.metadata["encore"].update(judge=fresh["judge"], outputs=fresh["outputs"])
    pair.save(entry.name, nb)
    files.write_json(files.result(entry.name), fresh)
    before = {c["id"]: c["verdict"] for c in stored["claims"]}
    return [f"{entry.name}: {c['id']}: {before[c['id']]} -> {c['verdict']}" for c in fresh["claims"] if c["verdict"] != before[c["id"]]]
