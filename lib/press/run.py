"""`press run`: execute what is stale, or what is asked for; nothing finished is ever lost."""

import hashlib
import json
import sys

from encore import datasets, register
from press import execute, files, key, pair, results, schedule, state
from press.execute import Run
from press.files import PressError
from press.schedule import Task


class _Journal:
    """Which pages of a forced run are already done, so that an interrupted one goes on where it stopped."""

    def __init__(self, keys: dict[str, str]):
        digest = hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()[:16]
        self._path = files.build() / "journal" / f"{digest}.json"
        self.done: list[str] = json.loads(self._path.read_text()) if self._path.is_file() else []

    def add(self, name: str) -> None:
        self.done.append(name)
        files.write_json(self._path, self.done)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)


def run(
    entries: list[register.Entry],
    profile: str = "book",
    seed: int = 0,
    *,
    force: bool = False,
    workers: int = 2,
    scheduler: str | None = None,
    warm: bool = True,
) -> list[str]:
    """Execute the pages that need it (all of them with `force`, or in another profile or seed). Returns the problems, one line each."""
    problems, keys, expected = [], {}, {}
    by_name = {e.name: e for e in entries}
    book = results.folder(profile, seed) is None
    for e in entries:
        try:
            s = state.of(e)
            if s.needs == "write":
                raise PressError(s.why)
            if book and not force and s.needs != "run":
                continue
            keys[e.name] = key.key(pair.read_source(e.name), e, profile, seed)
            _fetch(e)
        except (PressError, register.RegisterError, datasets.DatasetError) as problem:
            problems.append(str(problem))
            keys.pop(e.name, None)
            continue
        stored = files.read_result(e.name) or {}
        expected[e.name] = e.budget.smoke_s if profile == "smoke" else stored.get("seconds", e.budget.book_s)
    journal = _Journal(keys) if force else None
    tasks = [Task(n, k, expected[n], execute.limit_s(by_name[n], profile)) for n, k in keys.items() if not journal or n not in journal.done]
    if journal and journal.done:
        print(f"going on with an interrupted run: {len(journal.done)} of {len(keys)} pages are done", file=sys.stderr)
    print(f"{len(tasks)} of {len(entries)} pages to run (profile {profile}, seed {seed})", file=sys.stderr)

    def done(r: Run) -> None:
        if r.ok:
            try:
                results.record(r, by_name[r.name], profile, seed, keys[r.name])
            except Exception as e:
                r.problem = f"{r.name}: its result could not be stored ({type(e).__name__}: {e})"
            else:
                if journal:
                    journal.add(r.name)
                return
        path = results.record_failure(r)
        problems.append(r.problem + (f" (as far as it got: {path.relative_to(files.build().parent)})" if path else ""))

    if tasks:
        schedule.run_all(tasks, profile, seed, done, workers=workers, scheduler=scheduler, warm=warm)
    if journal and not problems:
        journal.close()
    return problems


def _fetch(entry: register.Entry) -> None:
    """Data is fetched before a page runs: while it runs there is no network."""
    for d in entry.data_ids:
        datasets.fetch(d)
