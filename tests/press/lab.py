"""A small compendium for tests: a register, pages that work, and pages that break in one way each."""

from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from encore import register

ENTRY = {
    "chapter": "lab",
    "title": "A page",
    "authors": ["A. Author"],
    "year": 2020,
    "venue": None,
    "arxiv": None,
    "idea": "An idea.",
    "data": [],
    "budget": {"smoke_s": 5, "book_s": 10},
    "status": "page",
    "claims": [
        {
            "id": "small",
            "says": "It is small.",
            "paper": None,
            "kind": "lower",
            "test": "ours below the baseline",
            "rule": {"baseline": "the other"},
        },
        {"id": "same", "says": "It is the same.", "paper": "Table 1", "kind": "exact", "test": "equal", "rule": {"tol": 1e-9}},
    ],
    "related": [],
}

PAGE = """# %% [markdown]
# # A page
# %% [markdown]
# ## The idea
#
# Something.
# %% [markdown]
# ## The method
# %% tags=["parameters"]
profile = "book"
seed = 0
# %%
import matplotlib.pyplot as plt
import numpy as np
import encore

page = encore.open("lab/{slug}", profile, seed)
n = page.pick(smoke=2, book=6, paper=60)
rng = np.random.default_rng(seed)
# %% [markdown]
# ## A check
# %%
page.check("a sum", 0.0, tol=1e-9)
# %% [markdown]
# ## The experiment
# %%
{body}
ours, other = rng.normal(0, 0.1, n), rng.normal(1, 0.1, n)
page.claim("small", encore.lower(ours, other))
# %% [markdown]
# ## Results
# %%
fig, ax = plt.subplots(figsize=(3, 2))
ax.plot(ours)
page.figure(fig, "ours", caption="Ours.", alt="A line.")
page.say(f"The mean is {{ours.mean():.2f}}.")
page.claim("same", encore.exact(0.0))
# %% [markdown]
# ## Verdict
# %% tags=["nbval-check-output"]
page.verdict()
# %% [markdown]
# ## What this page does not show
#
# Much.
# %% [markdown]
# ## Exercises
#
# :::{{exercise}}
# :label: {slug}-ex1
# Change something, see something.
# :::
# %% tags=["hide-cell", "solution"]
page.say("A solution.")
# %% [markdown]
# ## References
"""


class Compendium:
    """A compendium in a folder: `add` writes a page and its entry."""

    def __init__(self, root: Path):
        self.root = root
        (root / "data" / "papers").mkdir(parents=True)
        (root / "requirements.lock").write_text("numpy==2.4.6\nmatplotlib==3.11.2\ntorch==2.13.0\n")

    def add(self, slug: str, body: str = "", edit=lambda text: text, **changes) -> str:
        entry = {"slug": slug, **ENTRY, **changes}
        place = self.root / "data" / "papers" / entry["chapter"] / f"{slug}.yml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(yaml.safe_dump(entry, sort_keys=False))
        script = self.script(f"lab/{slug}")
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(edit(PAGE.format(slug=slug, body=body)))
        register.load_all.cache_clear()
        return f"lab/{slug}"

    def script(self, name: str) -> Path:
        return self.root / "notebooks" / f"{name}.py"

    def notebook(self, name: str) -> Path:
        return self.root / "notebooks" / f"{name}.ipynb"

    def result(self, name: str) -> Path:
        return self.root / "data" / "results" / f"{name}.json"


@contextmanager
def compendium_in(root: Path):
    """A compendium made at `root`, where the project is while it lasts; the register forgets it at the end."""
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCORE_ROOT", str(root))
        yield Compendium(root)
        register.load_all.cache_clear()
