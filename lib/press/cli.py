"""The command line: `press VERB`, one module per verb."""

import argparse
import json
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Errors a person can mend are printed as one line each; the exit status is 0, 1 (problems) or 2 (usage)."""
    args = _parser().parse_args(argv)
    from encore.datasets import DatasetError
    from encore.page import PageError
    from encore.register import RegisterError
    from press.files import PressError

    try:
        return args.verb(args)
    except (PressError, PageError, RegisterError, DatasetError, FileNotFoundError, ConnectionError) as e:
        print(f"press: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("press: interrupted; what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 130


def _report(problems: list[str], good: str) -> int:
    for p in problems:
        print(p, file=sys.stderr)
    if not problems:
        print(good)
    return bool(problems)


def _run(a) -> int:
    from press import run, state

    entries = state.pages(a.pages, a.chapter)
    return _report(
        run.run(entries, a.profile, a.seed, force=a.force, workers=a.workers, scheduler=a.scheduler, warm=not a.cold),
        "all pages are up to date",
    )


def _check(a) -> int:
    from press import check

    return _report(check.check(), "the register, the pages and their results are in order")


def _validate(a) -> int:
    from press import state, validate

    report = validate.validate(state.pages(a.pages, a.chapter), a.workers)
    for line in report.reported:
        print(f"reported, not failed: {line}")
    return _report(report.failures, f"{report.pages} pages re-executed, all agree with what is stored")


def _judge(a) -> int:
    from press import results, state

    changes = []
    for entry in state.pages(a.pages, a.chapter):
        if a.pages or state.of(entry).needs == "judge":
            changes += results.judge(entry)
    print("\n".join(changes) or "no verdict changed")
    return 0


def _sync(a) -> int:
    from press import pair, state

    for entry in state.pages(a.pages, a.chapter):
        s = state.of(entry)
        if s.needs == "sync" and pair.resync(entry.name):
            print(f"{entry.name}: prose brought into the notebook")
        elif s.needs:
            print(s.why)
    return 0


def _new(a) -> int:
    from press import new

    path = new.new(a.page)
    print(f"{path}\nnext: fill in the TODOs, then: press run {a.page}")
    return 0


def _status(a) -> int:
    from press import state, status

    records = status.status(state.pages(a.pages, a.chapter))
    print(json.dumps(records, indent=1) if a.json else status.table(records))
    return 0


def _fetch(a) -> int:
    from encore import datasets
    from encore.datasets import catalogue
    from press import state

    ids = a.ids or sorted({d for e in state.pages() for d in e.data_ids})
    for d in ids:
        catalogue.get(d)
        datasets.fetch(d)
        print(f"{d}: here and verified")
    return 0


def _book(a) -> int:
    from encore import paths
    from press import files, pair, run, site, state

    problems = run.run(state.pages(), workers=a.workers) if not a.render_only else []
    for entry in state.pages():
        s = state.of(entry)
        if s.needs == "sync":
            pair.resync(entry.name)
        elif s.needs:
            problems.append(s.why)
    if problems and a.strict:
        return _report(problems, "")
    out = Path(a.out) if a.out else files.build() / "html"
    code = site.build(paths.root(), out, strict=a.strict)
    broken = site.broken_links(out) if code == 0 else []
    print(f"the book: {out / 'index.html'}")
    return _report(problems + broken, "") or code


def _teach(a) -> int:
    from press import files, teach

    zips = teach.write(files.build() / "teach")
    print("\n".join(str(z) for z in zips) or "no course in data/courses")
    return 0


def _similar(a) -> int:
    from press import similar

    similar.write()
    print(f"{similar.FILE}: written")
    return 0


def _environment(a) -> int:
    from encore import paths
    from press import environment, files

    files.write(paths.root() / "environment.yml", environment.environment())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="press", description="Runs, validates, judges and renders the pages of Encore.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name, does, function, pages=True):
        p = verbs.add_parser(name, help=does, description=does)
        p.set_defaults(verb=function)
        if pages:
            p.add_argument("pages", nargs="*", metavar="CHAPTER/SLUG", help="pages; none means all")
            p.add_argument("--chapter", help="all pages of a chapter")
        return p

    p = verb("run", "execute pages that are stale, keep going after a failure, lose nothing that was finished", _run)
    p.add_argument("--profile", choices=("smoke", "book", "paper"), default="book")
    p.add_argument("--seed", type=int, default=0, help="another seed's results go to _build/runs")
    p.add_argument("--force", action="store_true", help="also pages that are up to date; goes on where an interrupted run stopped")
    p.add_argument("--workers", type=int, default=2, help="pages at a time on this machine (default 2, one thread each)")
    p.add_argument("--scheduler", metavar="ADDRESS", help="run on a dask cluster instead, e.g. tcp://host:8786")
    p.add_argument("--cold", action="store_true", help="start every kernel from scratch instead of forking a warm one")
    verb("check", "check register, contract, keys, citations and licences; runs no page", _check, pages=False)
    p = verb("validate", "re-execute pages with nbval and compare with what is stored", _validate)
    p.add_argument("--workers", type=int, default=2)
    verb("judge", "compute verdicts again from stored samples", _judge)
    verb("sync", "bring edited prose of the scripts into the notebooks, without running them", _sync)
    p = verb("new", "write the skeleton of a page from its register entry", _new, pages=False)
    p.add_argument("page", metavar="CHAPTER/SLUG")
    p = verb("status", "what has been run, when, for how long, and what is stale", _status)
    p.add_argument("--json", action="store_true")
    p = verb("fetch", "fetch and verify data sets", _fetch, pages=False)
    p.add_argument("ids", nargs="*", metavar="ID", help="data sets; none means all that pages declare")
    p = verb("book", "run what is stale, then render the book", _book, pages=False)
    p.add_argument("--strict", action="store_true", help="warnings and stale pages are errors")
    p.add_argument("--render-only", action="store_true", help="render what is there, run nothing")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--out", help="where to write the HTML (default _build/html)")
    verb("teach", "write every course, for students and for whoever teaches it, to _build/teach", _teach, pages=False)
    verb("similar", "find similar papers again, when titles or ideas of the register changed", _similar, pages=False)
    verb("environment", "write environment.yml from requirements.lock", _environment, pages=False)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
