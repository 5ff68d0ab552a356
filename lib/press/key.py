"""Up to date or not: the two hashes of a page.

The **key** covers what can change a measured number, the **judge** how numbers become verdicts. Prose, comments, figure style and the
press are in neither.
"""

import ast
import hashlib
import json
import re
from functools import cache
from importlib import metadata
from pathlib import Path

from nbformat import NotebookNode

import encore
from encore import register
from encore.datasets import catalogue
from press import pair

NOT_COMPUTE = {
    "encore",
    "encore.page",
    "encore.figures",
    "encore.claims",
    "encore.stats",
    "encore.register",
    "encore.paths",
    "encore.offline",
    "encore.progress",
    "encore.datasets",
    "encore.datasets.catalogue",
    "encore.datasets.sources",
}
"""Modules of encore that cannot change a measured number. Data is fetched by hash, and the hashes are in the key."""

_ENCORE = Path(encore.__file__).parent


def imports(code: str) -> set[str]:
    """Modules named by the import statements of `code`, wherever they stand; `from a import b` gives both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return found


def module_file(module: str) -> Path | None:
    """The file of a module of encore, None if there is no such module."""
    base = _ENCORE.joinpath(*module.split(".")[1:])
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def compute_modules(start: set[str]) -> list[str]:
    """The compute modules of encore reached from `start` by imports, `encore.seeds` always among them; sorted."""
    seen, queue = set(), {*start, "encore.seeds"}
    while queue:
        module = queue.pop()
        if module in seen or module.split(".")[0] != "encore" or module in NOT_COMPUTE or module_file(module) is None:
            continue
        seen.add(module)
        parents = {".".join(module.split(".")[:k]) for k in range(2, module.count(".") + 1)}
        queue |= module_imports(module) | parents
    return sorted(seen)


def module_imports(module: str) -> frozenset[str]:
    """What a module of encore imports, see `imports`."""
    path = module_file(module)
    return _module_imports(path, path.stat().st_mtime_ns)


@cache
def _module_imports(path: Path, stamp: int) -> frozenset[str]:
    return frozenset(imports(path.read_text(encoding="utf-8")))


@cache
def _normalised_module(path: Path, stamp: int) -> str:
    return pair.normalised(path.read_text(encoding="utf-8"))


def module_source(module: str) -> str:
    """The module's code without comments, docstrings and layout."""
    path = module_file(module)
    return _normalised_module(path, path.stat().st_mtime_ns)


@cache
def locked(path: Path) -> dict[str, str]:
    """Versions of requirements.lock by normalised distribution name."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[-_.]+", "-", n).lower(): v for n, v in pins}


@cache
def _distributions() -> dict[str, list[str]]:
    return metadata.packages_distributions()


def packages(modules: set[str]) -> dict[str, str]:
    """Locked versions of the distributions that provide the named modules; modules of the standard library are left out."""
    from encore import paths

    lock, out = locked(paths.root() / "requirements.lock"), {}
    for top in sorted({m.split(".")[0] for m in modules}):
        for dist in _distributions().get(top, []):
            name = re.sub(r"[-_.]+", "-", dist).lower()
            if name in lock:
                out[name] = lock[name]
    return out


def page_imports(nb: NotebookNode) -> set[str]:
    return set().union(*(imports(c.source) for _, c in pair.code_cells(nb)), set())


def packages_of(nb: NotebookNode, entry: register.Entry) -> dict[str, str]:
    """Locked versions of what the page and the compute modules it reaches import."""
    ours = _modules(nb, entry)
    reached = page_imports(nb).union(*map(module_imports, ours))
    return packages(reached)


def loaders(entry: register.Entry) -> set[str]:
    """The modules that turn the entry's data files into arrays."""
    return {catalogue.loader_module(d) for d in entry.data_ids}


def _modules(nb: NotebookNode, entry: register.Entry) -> list[str]:
    return compute_modules(page_imports(nb) | loaders(entry))


def _digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def key(nb: NotebookNode, entry: register.Entry, profile: str, seed: int) -> str:
    """sha256 over the page's code, the compute modules it reaches, its data, its packages and its parameters."""
    return _digest(
        {
            "code": [pair.normalised(c.source) for _, c in pair.code_cells(nb)],
            "modules": {m: module_source(m) for m in _modules(nb, entry)},
            "data": {d: catalogue.fingerprint(d) for d in entry.data_ids},
            "packages": packages_of(nb, entry),
            "parameters": {"profile": profile, "seed": seed},
        }
    )


def judge(entry: register.Entry) -> str:
    """sha256 over the code that judges and the registered claims."""
    return _digest(
        {
            "claims": [c.model_dump(mode="json") for c in entry.claims],
            "code": {m: module_source(m) for m in ("encore.claims", "encore.stats")},
        }
    )
