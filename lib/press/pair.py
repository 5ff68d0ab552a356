"""The pair of a page: the .py people edit and the .ipynb the press executes have the same cells."""

import ast
import hashlib
import json
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from encore.page import RESULT_MIME
from press import files
from press.files import PressError


def read_source(name: str) -> NotebookNode:
    """The notebook of a page's script, without outputs, with stable cell ids (c00, c01, ...).

    Raises PressError for a missing or unreadable script, and for a code cell that is not valid Python.
    """
    path = files.source(name)
    if not path.is_file():
        raise PressError(
            f"{name} has no page yet ({path.relative_to(path.parents[2])} is missing); write its skeleton with: press new {name}"
        )
    nb = jupytext.read(path, fmt="py:percent")
    for i, cell in enumerate(nb.cells):
        cell["id"] = f"c{i:02d}"
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in ("tags", "mystnb")})
    nb.metadata = NotebookNode(
        {
            "jupytext": {"formats": "ipynb,py:percent"},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    nb.nbformat, nb.nbformat_minor = 4, 5
    for i, cell in code_cells(nb):
        try:
            ast.parse(cell.source)
        except SyntaxError as e:
            raise PressError(
                f"{name}: cell {i} is not valid Python: {e.msg} (line {e.lineno}); shell commands and magics have no place on a page"
            ) from None
    return nb


def read_executed(name: str) -> NotebookNode | None:
    """The executed notebook of a page, None if there is none. Raises PressError if it cannot be read."""
    path = files.notebook(name)
    if not path.is_file():
        return None
    try:
        return nbformat.read(path, as_version=4)
    except Exception as e:
        raise PressError(
            f"{path} cannot be read ({type(e).__name__}: {str(e)[:200]}); run the page again: press run {name} --force"
        ) from None


def code_cells(nb: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """(position, cell) of every code cell."""
    return [(i, c) for i, c in enumerate(nb.cells) if c.cell_type == "code"]


def normalised(code: str) -> str:
    """Python source without comments, docstrings and layout: what can change a number, and nothing else."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def sources_agree(a: NotebookNode, b: NotebookNode) -> bool:
    """True if both notebooks have the same cells, outputs aside."""
    return [(c.cell_type, c.source.rstrip(), c.metadata.get("tags", [])) for c in a.cells] == [
        (c.cell_type, c.source.rstrip(), c.metadata.get("tags", [])) for c in b.cells
    ]


def outputs_digest(nb: NotebookNode) -> str:
    """sha256 of everything the page's code cells put out."""
    outputs = [[_plain(o) for o in c.outputs] for _, c in code_cells(nb)]
    return hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()


def _plain(output: NotebookNode) -> dict[str, Any]:
    return {k: v for k, v in json.loads(json.dumps(output)).items() if k != "execution_count"}


def result_of(nb: NotebookNode) -> dict[str, Any] | None:
    """What `page.verdict()` put out, None if no cell did."""
    for _, cell in reversed(code_cells(nb)):
        for out in cell.get("outputs", []):
            if RESULT_MIME in out.get("data", {}):
                return out["data"][RESULT_MIME]
    return None


def resync(name: str) -> bool:
    """Bring prose of the script into the executed notebook, keeping its outputs. Returns whether anything changed.

    Only for pages whose code is unchanged (comments and layout aside); raises PressError otherwise.
    """
    new, old = read_source(name), read_executed(name)
    if old is None or sources_agree(new, old):
        return False
    new_code, old_code = code_cells(new), code_cells(old)
    if [normalised(c.source) for _, c in new_code] != [normalised(c.source) for _, c in old_code]:
        raise PressError(f"{name}: the code of the script and of the notebook differ; run the page: press run {name}")
    for (_, fresh), (_, run) in zip(new_code, old_code, strict=True):
        fresh.outputs, fresh.execution_count = run.outputs, run.execution_count
    new.metadata = old.metadata
    save(name, new)
    return True


def save(name: str, nb: NotebookNode) -> None:
    files.write(files.notebook(name), nbformat.writes(nb) + "\n")
