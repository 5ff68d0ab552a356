"""Which data sets a page's code can load: read off the code, function by function.

A library module may offer functions that load different data, so it is not enough to look at the modules a page imports.
"""

import ast
from collections.abc import Iterator

from press import key

_Table = dict[str, tuple[str, str]]
"""Name in a piece of code, dotted after a plain `import` -> (module of encore, name in it); the name is '' for the module itself."""


def loaded(code: str) -> set[str]:
    """Ids in the calls `datasets.load("id")` of `code` and of every function or class of encore's compute modules that it can reach."""
    tree = ast.parse(code)
    found, seen, queue = set(), set(), [(tree, _imported(tree))]
    while queue:
        tree, table = queue.pop()
        found |= set(_literal_loads(tree))
        for module, name in _used(tree, table) - seen:
            seen.add((module, name))
            queue += _definition(module, name)
    return found


def _literal_loads(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "datasets.load" and node.args:
            yield str(getattr(node.args[0], "value", None))


def _imported(tree: ast.AST) -> _Table:
    """What the import statements of `tree` bind to modules of encore, or to names in them."""
    table = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for a in node.names:
                inner = f"{node.module}.{a.name}"
                table[a.asname or a.name] = (inner, "") if _is_compute(inner) else (node.module, a.name)
        elif isinstance(node, ast.Import):
            table |= {a.asname or a.name: (a.name, "") for a in node.names}
    return {name: place for name, place in table.items() if _is_compute(place[0])}


def _is_compute(module: str) -> bool:
    return module.split(".")[0] == "encore" and module not in key.NOT_COMPUTE and key.module_file(module) is not None


def _used(tree: ast.AST, table: _Table) -> set[tuple[str, str]]:
    """The places of `table` that `tree` names: `name` itself, or `name.attribute` where `name` is a module."""
    found = {table[n.id] for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in table}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            module, name = table.get(ast.unparse(node.value), ("", "x"))
            found |= {(module, node.attr)} if name == "" else set()
    return found


def _definition(module: str, name: str) -> list[tuple[ast.AST, _Table]]:
    """The code of a module's top-level `name` with what that module's names mean; nothing if it is no function, class or constant of it."""
    tree = ast.parse(key.module_source(module))
    own: dict[str, ast.AST] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            own[node.name] = node
        elif isinstance(node, ast.Assign):
            own |= {t.id: node for t in node.targets if isinstance(t, ast.Name)}
    table = {n: (module, n) for n in own} | _imported(tree)
    return [(own[name], table)] if name in own else []
