"""The contract of a page: what NOTEBOOK.md asks for, as far as it can be read off the script and the executed notebook."""

import ast
import base64
import re
from collections.abc import Iterator

from nbformat import NotebookNode

import encore
from encore import figures, register
from encore.page import RESULT_MIME
from press import exercises, loads, pair

SECTIONS = (
    "The idea",
    "The method",
    "A check",
    "The experiment",
    "Results",
    "Verdict",
    "What this page does not show",
    "Exercises",
    "References",
)
MEASURED_SECTIONS = ("Results", "Verdict", "What this page does not show")
MAX_CELL_LINES, MAX_CODE_CELLS, MAX_CODE_LINES, MAX_PAGE_BYTES = 40, 24, 280, 200_000
_NETWORK = {"requests", "urllib", "urllib3", "httpx", "aiohttp", "ftplib", "http", "socket", "subprocess", "pooch"}
_METRIC = re.compile(r"(?<![\w.])[-+−]?(\d+(\.\d+)?\s?(%|per cent|percent)|\d+\.\d+)")


def script_problems(nb: NotebookNode, entry: register.Entry, citations: set[str]) -> Iterator[str]:
    """What is wrong with a page's script; each line names the cell and the remedy."""
    yield from _sections(nb, entry)
    yield from _cells(nb)
    yield from _parameters(nb, entry)
    yield from _code(nb, entry)
    yield from _prose(nb, citations)
    yield from _exercises(nb, entry)


def _headings(nb: NotebookNode) -> list[tuple[int, str]]:
    found = []
    for i, c in enumerate(nb.cells):
        if c.cell_type == "markdown":
            found += [(i, m.group(1).strip()) for m in re.finditer(r"^##[ \t]+(.+)$", c.source, re.M)]
    return found


def section_of(nb: NotebookNode) -> list[str]:
    """The section each cell belongs to ('' before the first)."""
    starts, name, out = dict(_headings(nb)), "", []
    for i in range(len(nb.cells)):
        name = starts.get(i, name)
        out.append(name)
    return out


def _sections(nb, entry):
    first = nb.cells[0].source.strip() if nb.cells else ""
    if first != f"# {entry.title}":
        yield f"cell 0 must be the title alone, '# {entry.title}' (the header below it is generated)"
    found = [h for _, h in _headings(nb)]
    if found != list(SECTIONS):
        wrong = next((f"{b!r} stands where {a!r} should" for a, b in zip(SECTIONS, found, strict=False) if a != b), None)
        yield f"sections must be {', '.join(SECTIONS)}, in this order; " + (wrong or f"it has {len(found)} of {len(SECTIONS)}")


def _cells(nb):
    code = [(i, c.source.strip().splitlines()) for i, c in pair.code_cells(nb) if not exercises.is_solution(c)]
    for i, lines in code:
        if len(lines) > MAX_CELL_LINES:
            yield f"cell {i} has {len(lines)} lines, at most {MAX_CELL_LINES}; one idea per cell"
    if len(code) > MAX_CODE_CELLS:
        yield f"{len(code)} code cells, at most {MAX_CODE_CELLS}; join cells or move shared code to the library"
    total = sum(bool(line.strip()) and not line.strip().startswith("#") for _, lines in code for line in lines)
    if total > MAX_CODE_LINES:
        yield f"{total} lines of code, at most {MAX_CODE_LINES}; move what a second page needs to the library"


def _parameters(nb, entry):
    code = pair.code_cells(nb)
    tagged = [(i, c) for i, c in code if "parameters" in c.metadata.get("tags", [])]
    if len(tagged) != 1 or tagged[0] != code[0] or pair.normalised(tagged[0][1].source) != "profile = 'book'\nseed = 0":
        yield 'the first code cell must carry the tag "parameters" and hold just: profile = "book", seed = 0'


def _calls_in(code: str) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def _calls(nb: NotebookNode) -> Iterator[tuple[int, str, ast.Call]]:
    """(cell, dotted name, call) of every call on a page, in order."""
    for i, c in pair.code_cells(nb):
        yield from ((i, *call) for call in _calls_in(c.source))


def _literal(node) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _code(nb, entry):
    calls = list(_calls(nb))
    opened = [_literal(c.args[0]) for _, n, c in calls if n == "encore.open" and c.args]
    if opened != [entry.name]:
        yield f'the page must call encore.open("{entry.name}", profile, seed) once, not {opened}'
    claimed = [_literal(c.args[0]) for _, n, c in calls if n == "page.claim" and c.args]
    for c in entry.claims:
        if c.id not in claimed:
            yield f"registered claim {c.id!r} is never measured; add page.claim({c.id!r}, ...), or encore.not_tested(why)"
    yield from (f"page.claim({c!r}) is not in the register" for c in claimed if c not in [x.id for x in entry.claims])
    drawn = [_literal(c.args[1]) for _, n, c in calls if n == "page.figure" and len(c.args) > 1]
    for what, names in (("claim", claimed), ("figure", drawn)):
        yield from (f"{what} {x!r} is given twice; give it once" for x in sorted({str(x) for x in names if names.count(x) > 1}))
    if not any(n == "page.check" for _, n, _ in calls):
        yield "no page.check(...) against an independent implementation"
    yield from _figures(calls)
    yield from _verdict_cell(nb, calls)
    loaded = loads.loaded("\n".join(c.source for _, c in pair.code_cells(nb)))
    for d in sorted(loaded - set(entry.data_ids)):
        yield f"datasets.load({d!r}) is not declared in the register's `data`; declare it"
    for d in sorted(set(entry.data_ids) - loaded):
        yield f"data set {d!r} is declared in the register, but neither the page nor a library module it uses calls datasets.load({d!r})"
    for i, c in pair.code_cells(nb):
        yield from _hygiene(i, ast.parse(c.source))


def _figures(calls):
    if not any(n == "page.figure" for _, n, _ in calls):
        yield "no figure; publish at least one with page.figure(fig, name, caption=..., alt=...)"
    for i, n, c in calls:
        if n == "page.figure":
            given = {k.arg: k.value for k in c.keywords}
            for what in ("caption", "alt"):
                if what not in given or _literal(given[what]) == "":
                    yield f"cell {i}: page.figure without {what}=; say what a sighted reader sees"
        if n == "print":
            yield f"cell {i}: print; use page.say, whose words are typeset and in order, where a stream's last line can get lost"
        if n in ("plt.show", "fig.show"):
            yield f"cell {i}: {n}() leaves a figure without caption and alt text; use page.figure"
        if n == "page.say" and c.args:
            parts = c.args[0].values if isinstance(c.args[0], ast.JoinedStr) else [c.args[0]]
            for text in filter(None, map(_literal, parts)):
                if m := _METRIC.search(_without_math(text)):
                    yield f"cell {i}: page.say has the number {m.group(0).strip()!r} typed in; compute it and use an f-string"


def _verdict_cell(nb, calls):
    verdicts = [i for i, n, _ in calls if n == "page.verdict"]
    if len(verdicts) != 1:
        yield f"page.verdict() must be called exactly once, it is called {len(verdicts)} times"
        return
    where, (i,) = section_of(nb), verdicts
    cell = nb.cells[i]
    if where[i] != "Verdict" or cell.source.strip() != "page.verdict()" or "nbval-check-output" not in cell.metadata.get("tags", []):
        yield f'cell {i}: the Verdict section ends in a cell that is just page.verdict(), tagged "nbval-check-output"'
    for j, c in pair.code_cells(nb):
        if j > i and (where[j] != "Exercises" or not exercises.is_solution(c)):
            yield f'cell {j}: after the verdict only exercise solutions run (section Exercises, tags "hide-cell" and "solution")'


def _hygiene(i, tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                if name.split(".")[0] == "press":
                    yield f"cell {i}: a page never imports the press"
                if name.split(".")[0] in _NETWORK:
                    yield f"cell {i}: imports {name}; pages have no network and start no programs, data comes from encore.datasets"
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "encore"
            and node.attr not in encore.__all__
        ):
            yield f"cell {i}: encore.{node.attr} is not the page API; import library modules by name: from encore import {node.attr}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"^(/[a-z]+){2,}|^~/|^[A-Z]:\\", node.value):
            yield f"cell {i}: absolute path {node.value[:40]!r}; data comes from encore.datasets"


def _without_math(text: str) -> str:
    """Markdown without code, maths, links' targets, roles and directives' options."""
    for pattern in (r"```.*?```", r"`[^`]*`", r"\$\$.*?\$\$", r"\$[^$]*\$", r"\]\([^)]*\)", r"\{[a-z:]+\}`[^`]*`", r"^:\w+:.*$"):
        text = re.sub(pattern, " ", text, flags=re.S | re.M)
    return text


def _prose(nb, citations):
    where = section_of(nb)
    for i, c in enumerate(nb.cells):
        if c.cell_type != "markdown":
            continue
        if where[i] in MEASURED_SECTIONS and (m := _METRIC.search(_without_math(c.source))):
            yield f"cell {i}: the number {m.group(0).strip()!r} is typed into prose of {where[i]!r}; print it with page.say"
        for cited in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", c.source):
            for citation in cited.split(","):
                if citation.strip() not in citations:
                    yield f"cell {i}: citation {citation.strip()!r} is in no .bib file of book/"


def _exercises(nb, entry):
    where, found = section_of(nb), exercises.read(nb.cells)
    block = f'":::{{exercise}}", then ":label: {entry.slug}-ex1", the text, ":::"'
    if not found:
        yield f"no exercise; write each as a block of its own: {block}"
    for i, c in enumerate(nb.cells):
        if c.cell_type == "markdown" and exercises.misshapen(c.source):
            yield f"cell {i}: an exercise is a block of its own: {block}"
    for e in found:
        if e.label != (right := f"{entry.slug}-ex{e.number}"):
            yield f"cell {e.cell}: exercise {e.number} of the page is labelled {e.label!r}; call it {right!r}"
        if where[e.cell] != "Exercises":
            yield f"cell {e.cell}: exercise {e.number} stands in section {where[e.cell]!r}; move it to Exercises"
        if not e.text:
            yield f"cell {e.cell}: exercise {e.number} has no text"
    solved = {i for e in found for i in e.solution}
    for i, c in pair.code_cells(nb):
        if exercises.is_solution(c) and i not in solved:
            yield f"cell {i}: a solution follows its exercise directly; the cell before it must end in the exercise's block"
        if i in solved and "hide-cell" not in c.metadata.get("tags", []):
            yield f'cell {i}: a solution is folded away; tag it "hide-cell" as well'
    if not solved:
        yield 'no runnable exercise solution; add one below its exercise, tagged "hide-cell" and "solution"'


def executed_problems(nb: NotebookNode) -> Iterator[str]:
    """What is wrong with an executed notebook's outputs."""
    counts = [(i, c.execution_count) for i, c in pair.code_cells(nb) if c.source.strip()]
    if [n for _, n in counts] != list(range(1, len(counts) + 1)):
        at = next(i for k, (i, n) in enumerate(counts, 1) if n != k)
        yield f"cells were not run once each from top to bottom (cell {at}); run it again"
    total = 0
    for i, c in pair.code_cells(nb):
        for out in c.outputs:
            if out.output_type == "error":
                yield f"cell {i} holds an error: {out.ename}: {out.evalue[:100]}"
            if out.output_type == "stream" and out.name == "stderr":
                yield f"cell {i} prints to stderr: {out.text.strip()[:100]!r}; deal with the warning"
            for mime in ("image/png", "image/jpeg"):
                if mime in out.get("data", {}):
                    size = len(base64.b64decode(out.data[mime]))
                    total += size
                    info = out.metadata.get("encore", {})
                    if not info.get("alt") or not info.get("caption"):
                        yield f"cell {i}: a figure without alt text or caption; publish it with page.figure"
                    if size > figures.MAX_BYTES:
                        yield f"cell {i}: a figure of {size // 1000} kB, at most {figures.MAX_BYTES // 1000} kB"
    if total > MAX_PAGE_BYTES:
        yield f"figures of {total // 1000} kB in all, at most {MAX_PAGE_BYTES // 1000} kB a page"
    if not any(RESULT_MIME in o.get("data", {}) for _, c in pair.code_cells(nb) for o in c.outputs):
        yield "no verdict among the outputs; run it again"
