"""`press new`: the skeleton of a page from its register entry, ready to run."""

from pathlib import Path

from encore import register
from press import files
from press.files import PressError

_HEADER = """# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
"""

_MEASURE = {
    "exact": "encore.exact([0.0])",
    "bound": "encore.bound([0.0], [1.0])",
    "higher": "encore.higher([1.0] * 5, [0.0] * 5)",
    "lower": "encore.lower([0.0] * 5, [1.0] * 5)",
    "trend": "encore.trend([1, 2, 3, 4, 5], [1.0, 2.0, 3.0, 4.0, 5.0])",
    "rate": "encore.rate([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])",
    "close": "encore.close([0.0], 0.0)",
}


def skeleton(entry: register.Entry) -> str:
    """The text of a new page: all sections, one measurement per claim (placeholders, marked TODO), the data it declares."""
    out = [_HEADER]

    def text(*lines):
        out.append("# %% [markdown]\n" + "\n".join(f"# {line}".rstrip() for line in lines) + "\n")

    def code(*lines, tags=""):
        out.append(f"# %%{tags}\n" + "\n".join(lines) + "\n")

    text(f"# {entry.title}")
    text("## The idea", "", f"TODO: {entry.idea}")
    text("## The method", "", "TODO: the mathematics, with the code that does it directly below each formula.")
    code('profile = "book"', "seed = 0", tags=' tags=["parameters"]')
    library = ["import encore", "from encore import datasets"] if entry.data_ids else ["import encore"]
    code(
        "import matplotlib.pyplot as plt",
        "import numpy as np",
        *library,
        "",
        f'page = encore.open("{entry.name}", profile, seed)',
        "n = page.pick(smoke=5, book=50, paper=500)",
    )
    text("## A check", "", "TODO: against something independent.")
    code('page.check("TODO: placeholder", abs(np.sum(np.ones(n)) - n), tol=1e-12)')
    text("## The experiment", "", "| | the paper | here |", "|---|---|---|", "| TODO | | |")
    for d in entry.data_ids:
        code(f'data = datasets.load("{d}")', "page.say(data.provenance)")
    text("## Results")
    code(
        "fig, ax = plt.subplots()",
        "ax.plot(np.arange(n))",
        'ax.set(xlabel="TODO [unit]", ylabel="TODO [unit]")',
        'page.figure(fig, "first", caption="TODO: what is shown.", alt="TODO: what a sighted reader sees.")',
        'page.say(f"TODO: a finding with its numbers, n = {n}.")',
    )
    for c in entry.claims:
        kinds = ", ".join(_MEASURE[t.kind] for t in c.tests)
        code(f"# TODO: {' '.join(c.says.split())}", f'page.claim("{c.id}", {kinds})')
    text("## Verdict")
    code("page.verdict()", tags=' tags=["nbval-check-output"]')
    text("## What this page does not show", "", "TODO")
    text("## Exercises", "", ":::{exercise}", f":label: {entry.slug}-ex1", "TODO: change something, see something.", ":::")
    code('page.say("TODO: a solution that runs.")', tags=' tags=["hide-cell", "solution"]')
    text("## References", "", "TODO: {cite:p} the paper.")
    return "\n".join(out)


def new(name: str) -> Path:
    """Write the skeleton of a paper's page. Raises RegisterError for an unknown paper, PressError if a page exists or rules lack."""
    entry = register.load(name)
    path = files.source(entry.name)
    if path.exists():
        raise PressError(f"{path} exists already; edit it, or delete it first")
    if lacking := [c.id for c in entry.claims if c.rule is None]:
        raise PressError(
            f"{register.path_of(entry.name)}: claim {lacking[0]!r} has no `rule` yet; write the rules of all claims "
            f"({', '.join(lacking)}) before the page, then set status: page"
        )
    if entry.status != "page":
        raise PressError(f"{register.path_of(entry.name)}: set status: page first, so that its rules are checked")
    files.write(path, skeleton(entry))
    return path
