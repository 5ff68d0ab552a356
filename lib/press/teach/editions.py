"""A page as a notebook of a course: the student's edition has no outputs and no solutions, the instructor's has both."""

from typing import Literal

import nbformat
from nbformat import NotebookNode, v4
from pybtex.database import Entry as Work

from encore import register
from press import exercises, pair
from press.exercises import Exercise
from press.files import PressError
from press.site import wording
from press.teach import prose
from press.teach.course import Course

Edition = Literal["student", "teacher"]
EDITIONS: dict[Edition, str] = {"student": "student's edition", "teacher": "instructor's edition"}

FIND = """\
# The course's folder is the one above this notebook: the claims of the paper and the catalogue of data sets lie there.
import os

os.environ.setdefault("ENCORE_ROOT", os.path.abspath(".."))"""

YOUR_TURN = """\
# Your turn: Exercise {number}. Everything that was computed above is still here.
# Show a number with page.say(f"..."), and a figure with plt.show()."""


def notebook(entry: register.Entry, course: Course, edition: Edition, works: dict[str, Work]) -> NotebookNode:
    """The edition of a published page. Code cells are the page's own; cells are added that find the course's folder and, for students,
    take the place of each solution (or, if an exercise has none, stand below it).

    works: the bibliography, by key. Raises PressError if the page was never run.
    """
    page = pair.read_executed(entry.name)
    if page is None:
        raise PressError(f"{entry.name} was never run; run it: press run {entry.name}")
    asked: dict[int, list[Exercise]] = {}
    for x in exercises.read(page.cells):
        asked.setdefault(x.cell, []).append(x)
    title = v4.new_markdown_cell(_title(entry, course, edition))
    cells = [title, v4.new_code_cell(FIND, metadata={"tags": ["course"]})]
    for i, cell in enumerate(page.cells[1:], 1):
        if i in asked:
            cells += _exercises(cell, asked[i], edition, works)
        elif cell.cell_type == "markdown":
            cells.append(v4.new_markdown_cell(prose.written_out(cell.source, works)))
        elif edition == "teacher":
            cells.append(v4.new_code_cell(cell.source, outputs=cell.outputs, execution_count=cell.execution_count, metadata=_tags(cell)))
        elif not exercises.is_solution(cell):
            cells.append(v4.new_code_cell(cell.source, metadata=_tags(cell)))
    if known := [k for k in prose.cited([c.source for c in page.cells if c.cell_type == "markdown"]) if k in works]:
        cells.append(v4.new_markdown_cell("\n".join(f"- {prose.reference(works[k])}" for k in known)))
    for i, cell in enumerate(cells):
        cell["id"] = f"c{i:02d}"
    metadata = {k: page.metadata[k] for k in ("kernelspec", "language_info") if k in page.metadata}
    return v4.new_notebook(cells=cells, metadata=metadata)


def _tags(cell: NotebookNode) -> dict[str, list[str]]:
    kept = [t for t in cell.metadata.get("tags", []) if t in ("parameters", "solution")]
    return {"tags": kept} if kept else {}


def _exercises(cell: NotebookNode, asked: list[Exercise], edition: Edition, works: dict[str, Work]) -> list[NotebookNode]:
    """The cells that a prose cell with exercises becomes: its other prose, and each exercise in a cell of its own."""
    out, end = [], 0

    def text(source: str) -> None:
        if source.strip():
            out.append(v4.new_markdown_cell(prose.written_out(source.strip(), works)))

    for block, x in zip(exercises.BLOCK.finditer(cell.source), asked, strict=True):
        text(cell.source[end : block.start()])
        text(f"### Exercise {x.number}\n\n{x.text}")
        if edition == "student":
            out.append(v4.new_code_cell(YOUR_TURN.format(number=x.number), metadata={"tags": ["your-turn"]}))
        else:
            text(f"**Solution to Exercise {x.number}**" if x.solution else "*No solution is given to this exercise.*")
        end = block.end()
    text(cell.source[end:])
    return out


def _title(entry: register.Entry, course: Course, edition: Edition) -> str:
    source = wording.source(entry)
    if entry.arxiv:
        source += f" [arXiv:{entry.arxiv}](https://arxiv.org/abs/{entry.arxiv})"
    if entry.doi:
        source += f" [doi:{entry.doi}](https://doi.org/{entry.doi})"
    lines = [f"# {entry.title}", source, f"**{course.title}**, {EDITIONS[edition]}"]
    for w in course.weeks:
        if entry in w.published:
            numbers = [str(x.number) for e, x in w.exercises if e == entry]
            homework = f" Exercise{'s' * (len(numbers) > 1)} {', '.join(numbers)}." if numbers else ""
            lines.append(f"Week {w.number}: {w.plan.title}.{homework}")
    return "\n\n".join(lines)


def text(nb: NotebookNode) -> str:
    """The notebook's file."""
    nbformat.validate(nb)
    return nbformat.writes(nb) + "\n"
