"""The files of a course: a folder and a zip per edition that need nothing but Python 3.11, the packages of the lock and the data sets."""

import io
import shutil
import zipfile
from importlib import metadata
from pathlib import Path

from encore import paths, register
from encore.datasets import catalogue
from press import files, state
from press.files import PressError
from press.site import wording
from press.teach import editions, prose
from press.teach.course import Course, load
from press.teach.editions import EDITIONS, Edition

STAMP = (1980, 1, 1, 0, 0, 0)
SHIPPED = ("LICENSE", "requirements.lock", "data/datasets.yml")
DISTRIBUTION = "encore-compendium"

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "{version}"
requires-python = "{python}"

[tool.setuptools.packages.find]
where = ["lib"]
"""

README = """\
# {title}: {edition}

{audience}

{minutes} of a student's work in {weeks}.{planned}

You need to know:

{prerequisites}

At the end of the course you can:

{goals}

## Install and run

Python 3.11 is all that is needed. In this folder:

```
python3.11 -m venv .venv
.venv/bin/python -m pip install -r requirements.lock
.venv/bin/python -m pip install --no-deps .
.venv/bin/jupyter lab notebooks
```

The commands are for Linux and macOS. Leave the notebooks in the folder `notebooks`: they look for `data` beside it.

Run a notebook from top to bottom. In its first cells, `profile = "book"` takes about a minute; `profile = "smoke"` takes seconds, proves
that every cell runs, and judges nothing. {cells}

## Weeks

{table}

## Data

A data set is fetched when a notebook first asks for it, checked, and kept in your cache folder. Nothing else uses the network.

{data}

{derived}Without a network, put the files below a folder of your own, as `<data set>/<file>`, and set `ENCORE_DATA` to it.

## Licence

Code: BSD 3-Clause, prose and figures: CC BY 4.0 (see LICENSE). Data sets keep their own licences. The notebooks are pages of Encore.
"""

CELLS = {
    "student": "Cells that begin with “Your turn” are yours; each belongs to the exercise above it.",
    "teacher": "Outputs are those of the book. Solutions stand below their exercises; the student's edition has an empty cell there.",
}
DERIVED = """\
Data marked with * includes a derived file, which has no address of its own: set `ENCORE_DATA_URL` to the address of the release's data
bundle, or take the file from whoever teaches the course.
"""


def write(folder: Path) -> list[Path]:
    """Write every course below `folder`, as `<edition>/<course>/` and `encore-<course>-<edition>.zip`.

    Returns the zips. The same tree gives the same bytes. Raises PressError for a course that is wrong, or whose pages are not up to date.
    """
    courses, zips = load(), []
    if stale := [s.why for c in courses for _, e in c.pages if (s := state.of(e)).needs]:
        raise PressError("\n".join(dict.fromkeys(stale)))
    shutil.rmtree(folder, ignore_errors=True)
    for course in courses:
        for edition in EDITIONS:
            tree = contents(course, edition)
            for name, content in tree.items():
                files.write(folder / edition / course.slug / name, content)
            name = f"encore-{course.slug}-{edition}"
            (folder / f"{name}.zip").write_bytes(zipped(tree, name))
            zips.append(folder / f"{name}.zip")
    return zips


def contents(course: Course, edition: Edition) -> dict[str, str]:
    """Path -> text of every file of a course's edition, sorted by path."""
    root, works = paths.root(), prose.bibliography(paths.root())
    library = Path(register.__file__).parent
    sources = [(f"lib/encore/{p.relative_to(library).as_posix()}", p) for p in library.rglob("*.py")]
    sources += [(name, root / name) for name in SHIPPED]
    sources += [(f"data/papers/{e.name}.yml", register.path_of(e.name)) for _, e in course.pages]
    tree = {name: path.read_text(encoding="utf-8") for name, path in sources}
    about = metadata.metadata(DISTRIBUTION)
    tree["pyproject.toml"] = PROJECT.format(name=DISTRIBUTION, version=about["Version"], python=about["Requires-Python"])
    tree["README.md"] = readme(course, edition)
    for week, entry in course.pages:
        tree[f"notebooks/{file_name(week, entry)}"] = editions.text(editions.notebook(entry, course, edition, works))
    return dict(sorted(tree.items()))


def file_name(week: int, entry: register.Entry) -> str:
    """A notebook's name in a course, ordered by week: `02-lion.ipynb`."""
    return f"{week:02d}-{entry.slug}.ipynb"


def zipped(tree: dict[str, str], top: str) -> bytes:
    """A zip of the files below one folder `top`; the same files give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(tree):
            info = zipfile.ZipInfo(f"{top}/{name}", STAMP)
            info.create_system, info.external_attr, info.compress_type = 3, 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, tree[name].encode(), compresslevel=9)
    return out.getvalue()


def readme(course: Course, edition: Edition) -> str:
    """How to install and run an edition, its weeks and its data."""
    plan, planned = course.plan, sum(w.planned for w in course.weeks)
    derived = any(f.source.kind == "bundle" for d in _data(course) for f in catalogue.get(d).files)
    return README.format(
        title=course.title,
        edition=EDITIONS[edition],
        audience=plan.audience,
        minutes=wording.duration(60 * course.minutes),
        weeks=wording.count(len(course.weeks) - planned, "week"),
        planned=f" {wording.count(planned, 'further week')} {'is' if planned == 1 else 'are'} planned." if planned else "",
        prerequisites=_bullets(plan.prerequisites),
        goals=_bullets(plan.goals),
        cells=CELLS[edition],
        table=_table(course),
        data=_bullets([_data_line(d) for d in _data(course)]) or "The course needs no data.",
        derived=DERIVED + "\n" if derived else "",
    )


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(course: Course) -> str:
    first = {e.name: w for w, e in course.pages}
    rows = ["| week | title | minutes | notebooks | exercises |", "|---|---|---|---|---|"]
    for w in course.weeks:
        links = {e.name: f"[{e.slug}](notebooks/{file_name(first[e.name], e)})" for e in w.published}
        notebooks = [links.get(e.name, f"{e.slug} (planned)") for e in w.papers]
        homework = [f"{e.slug} {x.number}" if len(w.published) > 1 else str(x.number) for e, x in w.exercises]
        time = "planned" if w.planned else str(w.plan.minutes)
        rows.append(f"| {w.number} | {w.plan.title} | {time} | {', '.join(notebooks)} | {', '.join(homework) or '–'} |")
    return "\n".join(rows)


def _data(course: Course) -> list[str]:
    return list(dict.fromkeys(d for _, e in course.pages for d in e.data_ids))


def _data_line(id: str) -> str:
    entry = catalogue.get(id)
    fetched = [f for f in entry.files if f.source.kind != "package"]
    size = f"{sum(f.bytes for f in fetched) / 1e6:.1f} MB" if fetched else "comes with a package"
    mark = "*" if any(f.source.kind == "bundle" for f in fetched) else ""
    return f"`{id}`{mark}: {entry.title}, {size}. Licence: {entry.licence.rstrip('.')}."
