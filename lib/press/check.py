"""`press check`: register, contract, keys, citations, data licences, generated files. Seconds, and no page is run."""

from pybtex.database import PybtexError, parse_file

from encore import datasets, paths, register
from encore.datasets import catalogue
from press import contract, environment, files, pair, quarantine, similar, state, teach, toc
from press.files import PressError


def check() -> list[str]:
    """Every problem of the tree, one line each, naming the thing and the remedy."""
    try:
        entries = register.load_all()
    except register.RegisterError as e:
        return str(e).splitlines()
    problems = _bibliography_problems() + _data_problems() + _related(entries) + _generated(entries) + teach.problems()
    problems += similar.problems(list(entries))
    try:
        quarantine.load()
    except PressError as e:
        problems.append(str(e))
    cited = citations()
    for entry in entries:
        if entry.status == "page":
            problems += page_problems(entry, cited)
        elif files.source(entry.name).exists() or files.notebook(entry.name).exists():
            problems.append(f"{entry.name} has a notebook but status 'planned'; set its status to 'page' in the register")
    return problems + _orphans(entries)


def page_problems(entry: register.Entry, cited: set[str]) -> list[str]:
    """What is wrong with one page: its state first, then its script and its outputs."""
    try:
        s = state.of(entry)
        if s.needs == "write":
            return [s.why]
        found = [f"{entry.name}: {p}" for p in contract.script_problems(pair.read_source(entry.name), entry, cited)]
        run = pair.read_executed(entry.name)
        if run is not None:
            found += [f"{entry.name}: {p}" for p in contract.executed_problems(run)]
            found += _over_budget(entry)
        return ([s.why] if s.needs else []) + found
    except (PressError, datasets.DatasetError) as e:
        return [str(e)]


def _over_budget(entry):
    seconds = (files.read_result(entry.name) or {}).get("seconds", 0)
    if seconds > 1.5 * entry.budget.book_s:  # half as much again: two pages at a time share caches
        return [
            f"{entry.name}: took {seconds:.0f} s, its budget is {entry.budget.book_s:g} s; make it faster or re-budget it in the register"
        ]
    return []


def _bib_files():
    book = paths.root() / "book"
    return [*sorted(book.glob("*.bib")), *sorted((book / "bib").glob("*.bib"))]


def citations() -> set[str]:
    """Citation keys of book/references.bib and book/bib/*.bib; unreadable files are left to `_bibliography_problems`."""
    keys = set()
    for path in _bib_files():
        try:
            keys |= set(parse_file(str(path)).entries)
        except PybtexError:
            continue
    return keys


def _bibliography_problems():
    problems, seen = [], {}
    for path in _bib_files():
        try:
            entries = parse_file(str(path)).entries
        except PybtexError as e:
            problems.append(f"{path.relative_to(paths.root())}: {e}")
            continue
        for key, item in entries.items():
            if key in seen:
                problems.append(f"{path.relative_to(paths.root())}: {key!r} is also in {seen[key]}; keep one")
            seen[key] = path.relative_to(paths.root())
            if lacking := [f for f in ("title", "year") if f not in item.fields]:
                problems.append(f"{path.relative_to(paths.root())}: {key!r} has no {lacking[0]}")
    return problems


def _data_problems():
    try:
        catalogue.entries()
    except datasets.DatasetError as e:
        return str(e).splitlines()
    return []


def _related(entries):
    slugs = {e.slug for e in entries}
    return [f"{register.path_of(e.name)}: related paper {r!r} is not in the register" for e in entries for r in e.related if r not in slugs]


def _generated(entries):
    root, problems = paths.root(), []
    for name, text, verb in (
        ("_toc.yml", toc.toc(entries), "press book"),
        ("environment.yml", environment.environment(), "press environment"),
    ):
        path = root / name
        if not path.is_file() or path.read_text() != text:
            problems.append(f"{name} is generated and out of date; write it with: {verb}")
    return problems


def _orphans(entries):
    pages = {e.name for e in entries if e.status == "page"}
    found = []
    for folder, pattern in (("notebooks", "*/*.py"), ("notebooks", "*/*.ipynb"), ("data/results", "*/*.json")):
        for path in sorted((paths.root() / folder).glob(pattern)):
            if path.parent.name != "paper" and f"{path.parent.name}/{path.stem}" not in pages:
                found.append(f"{path.relative_to(paths.root())} belongs to no page of the register; delete it or register it")
    return found
