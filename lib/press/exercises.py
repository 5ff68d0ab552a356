"""Exercises of a page: `:::{exercise}` blocks of its prose, and the code cells tagged "solution" that follow them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BLOCK = re.compile(r"^:::\{exercise\}[ \t]*\n:label:[ \t]*(\S+)[ \t]*\n(.*?)^:::[ \t]*$\n?", re.M | re.S)
"""One exercise: its label, then its text."""

_OPENED = re.compile(r"^(?::{3,}|`{3,})\{(?:exercise\b|admonition\}[ \t]*Exercise)", re.M)
_LINE = re.compile(r"^:::", re.M)


@dataclass(frozen=True)
class Exercise:
    """An exercise: its number on the page, its label, its text (Markdown), the cell it stands in and the cells of its solution."""

    number: int
    label: str
    text: str
    cell: int
    solution: tuple[int, ...]


def read(cells: Sequence[Mapping[str, Any]]) -> list[Exercise]:
    """The exercises of a notebook's cells, in order. A solution belongs to the exercise that ends the cell before it."""
    found: list[Exercise] = []
    for i, cell in enumerate(cells):
        if cell["cell_type"] != "markdown":
            continue
        blocks = list(BLOCK.finditer(cell["source"]))
        for block in blocks:
            ends_cell = block is blocks[-1] and not cell["source"][block.end() :].strip()
            solution = _solution(cells, i + 1) if ends_cell else ()
            found.append(Exercise(len(found) + 1, block.group(1), block.group(2).strip(), i, solution))
    return found


def is_solution(cell: Mapping[str, Any]) -> bool:
    return cell["cell_type"] == "code" and "solution" in cell["metadata"].get("tags", [])


def _solution(cells, start: int) -> tuple[int, ...]:
    end = start
    while end < len(cells) and is_solution(cells[end]):
        end += 1
    return tuple(range(start, end))


def misshapen(source: str) -> bool:
    """True if a cell's prose begins an exercise in any way other than as a closed block with a label."""
    return len(_OPENED.findall(source)) != len(BLOCK.findall(source)) or any(_LINE.search(b.group(2)) for b in BLOCK.finditer(source))
