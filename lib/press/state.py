"""What a page needs: nothing, a re-sync, a judgement, a run."""

from dataclasses import dataclass

from encore import register
from press import files, key, pair
from press.files import PressError


@dataclass(frozen=True)
class State:
    """`needs` is '', 'write', 'run', 'judge' or 'sync'; `why` says it to a person, with the remedy."""

    name: str
    needs: str
    why: str


def of(entry: register.Entry) -> State:
    """The state of a page with status 'page'. Raises PressError if its files cannot be read."""
    name = entry.name
    if not files.source(name).is_file():
        return State(name, "write", f"{name} has status 'page' but no notebooks/{name}.py; write its skeleton with: press new {name}")
    nb, run, stored = pair.read_source(name), pair.read_executed(name), files.read_result(name)
    rerun = f"; run it: press run {name}"
    if run is None or stored is None:
        return State(name, "run", f"{name} was never run in profile book{rerun}")
    meta = run.metadata.get("encore", {})
    if meta.get("outputs") != pair.outputs_digest(run) or stored.get("outputs") != meta.get("outputs"):
        return State(
            name,
            "run",
            f"{name}: outputs of the notebook or its results file were edited by hand, or do not belong together{rerun} --force",
        )
    if _edited(run, stored):
        return State(name, "run", f"{name}: data/results/{name}.json does not say what the notebook's verdict says{rerun} --force")
    now = key.key(nb, entry, "book", 0)
    if now != meta.get("key") or now != stored.get("key"):
        return State(
            name, "run", f"{name} is stale: its code, a library module it reaches, its data or a package changed since its last run{rerun}"
        )
    if key.judge(entry) != stored.get("judge"):
        return State(name, "judge", f"{name}: its claims or the judging code changed; judge it again: press judge {name}")
    if not pair.sources_agree(nb, run):
        return State(name, "sync", f"{name}: prose of the script is not in the notebook; press sync {name}")
    return State(name, "", "")


def _edited(run, stored) -> bool:
    result = pair.result_of(run)
    return result is None or any(stored.get(k) != v for k, v in result.items())


def pages(names: list[str] | None = None, chapter: str | None = None) -> list[register.Entry]:
    """Entries with status 'page', all or those named (a chapter/slug, or a slug) or of a chapter.

    Raises RegisterError for an unknown name, PressError for a planned one or an unknown chapter.
    """
    if names:
        entries = [register.load(n) for n in names]
        if planned := [e.name for e in entries if e.status != "page"]:
            raise PressError(f"{planned[0]} is planned, not a page yet; write it with: press new {planned[0]}")
        return entries
    entries = [e for e in register.load_all() if chapter in (None, e.chapter)]
    if not entries:
        raise PressError(f"no chapter {chapter!r} in the register; there are {', '.join(sorted({e.chapter for e in register.load_all()}))}")
    return [e for e in entries if e.status == "page"]
