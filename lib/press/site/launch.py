"""A page elsewhere: the addresses that open it on Colab and on Binder, and the notebook that Colab opens.

Binder builds the locked environment from environment.yml and postBuild in the repository's root. Colab brings its own Python and its own
packages, so it gets a notebook of its own, `colab/<chapter>/<slug>.ipynb` in the rendered book: the page without outputs, below a cell
that fetches the project and those of the page's packages that Colab lacks. Numbers may differ there in the last digits.
"""

import json
from pathlib import Path
from urllib.parse import quote

from press import files
from press.site.model import Paper

ALWAYS = ("pydantic", "pooch", "PyYAML", "matplotlib", "pillow", "scipy", "safetensors", "tqdm")
"""What encore needs on every page; the page's own packages are in its results."""

SETUP = """\
# Fetches Encore and the packages this page needs; only for Colab.
import os, subprocess, sys
if not os.path.isdir("encore-compendium"):
    subprocess.run(["git", "clone", "--quiet", "--depth=1", "--branch={branch}", "{repository}", "encore-compendium"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", {packages}], check=True)
os.environ["ENCORE_ROOT"] = os.path.abspath("encore-compendium")
sys.path.insert(0, os.path.abspath("encore-compendium/lib"))"""


def addresses(paper: Paper, config) -> dict[str, str]:
    """Label -> address, from the book's settings `encore_repository`, `encore_branch` and `encore_pages`; nothing without a repository."""
    if not config.encore_repository:
        return {}
    return {
        "Open in Colab": colab(paper, config.encore_repository, config.encore_pages),
        "Open in Binder": binder(paper, config.encore_repository, config.encore_branch),
    }


def binder(paper: Paper, repository: str, branch: str) -> str:
    """Address of the page on Binder."""
    place = quote(f"notebooks/{paper.entry.name}.ipynb", safe="")
    return f"https://mybinder.org/v2/gh/{_owner_and_name(repository)}/{branch}?labpath={place}"


def colab(paper: Paper, repository: str, pages: str) -> str:
    """Address of the page's own notebook on Colab; `pages` is the branch that holds the rendered book."""
    return f"https://colab.research.google.com/github/{_owner_and_name(repository)}/blob/{pages}/colab/{paper.entry.name}.ipynb"


def _owner_and_name(repository: str) -> str:
    return "/".join(repository.rstrip("/").removesuffix(".git").split("/")[-2:])


def notebook(executed: str, packages: list[str], repository: str, branch: str) -> str:
    """The notebook for Colab: `executed` (JSON of the page) without outputs, with the cell that fetches what it needs on top."""
    nb = json.loads(executed)
    for cell in nb["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    wanted = ", ".join(f'"{p}"' for p in dict.fromkeys([*ALWAYS, *packages]))
    source = SETUP.format(repository=repository, branch=branch, packages=wanted)
    cell = {"cell_type": "code", "id": "colab", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
    return json.dumps(nb | {"cells": [nb["cells"][0], cell, *nb["cells"][1:]]}, ensure_ascii=False, indent=1)


def write(papers: list[Paper], root: Path, out: Path, repository: str, branch: str) -> None:
    """Write the notebooks for Colab below `out`, where the page is newer than what is there."""
    for paper in papers:
        source, target = root / "notebooks" / f"{paper.entry.name}.ipynb", out / "colab" / f"{paper.entry.name}.ipynb"
        if not target.is_file() or target.stat().st_mtime < source.stat().st_mtime:
            files.write(target, notebook(source.read_text(encoding="utf-8"), sorted(paper.result["packages"]), repository, branch))
