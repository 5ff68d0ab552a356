"""Which pages use which module of the library: read off the code, never written by hand."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import encore
from encore import register
from press import files, key

IMPORT = re.compile(r"^[ \t]*((?:from|import) encore\b[^\n(]*(?:\([^)]*\))?)", re.M)
"""A script's imports of encore. Parsing whole scripts would take seconds at 274 pages, whenever one of them changes."""


@dataclass(frozen=True)
class Module:
    """A module of encore: its dotted name, the first line of its docstring, what it offers, and the pages that reach it."""

    name: str
    says: str
    offers: tuple[str, ...]
    pages: tuple[str, ...]


def modules(entries: list[register.Entry]) -> list[Module]:
    """Every module of encore, by name, with the pages among `entries` whose imports reach it."""
    reached = {e.name: _reached(e) for e in entries if files.source(e.name).is_file()}
    return [
        Module(name, *_describe(path), tuple(page for page, names in reached.items() if name in names))
        for name, path in sorted(sources().items())
    ]


def sources() -> dict[str, Path]:
    """Dotted name -> file of every module of encore; a package without code of its own is left out."""
    root = Path(encore.__file__).parent
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if len(ast.parse(path.read_text(encoding="utf-8")).body) > 1}


def named_in(script: Path) -> set[str]:
    """Modules of encore, and names in them, that a script's import statements name; see `key.imports`."""
    statements = "\n".join(IMPORT.findall(script.read_text(encoding="utf-8")))
    return {m for m in key.imports(statements) if m.split(".")[0] == "encore"}


def _reached(entry: register.Entry) -> set[str]:
    """Modules a page imports, the compute modules they lead to, the loaders of its data, and the page API that every page uses."""
    named = named_in(files.source(entry.name))
    return named | set(key.compute_modules(named | key.loaders(entry))) | {"encore", "encore.page", "encore.claims", "encore.stats"}


def _describe(path: Path) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = (n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_"))
    return (ast.get_docstring(tree) or "").split("\n")[0], tuple(public)
