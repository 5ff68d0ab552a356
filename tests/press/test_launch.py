"""A page elsewhere: its addresses on Colab and Binder, the files they need, and Colab's first cell, run without a network."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
import yaml

from encore import register
from press import key
from press.site import launch, model

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = yaml.safe_load((PROJECT / "_config.yml").read_text())["sphinx"]["config"]
REPOSITORY, BRANCH = SETTINGS["encore_repository"], SETTINGS["encore_branch"]
PUBLISHED = model.read(PROJECT).published


def some_paper(compendium):
    return model.Paper(register.load(compendium.add("page")), {"packages": {"numpy": "2", "captum": "1"}})


@pytest.mark.parametrize("repository", ["https://github.com/who/what", "https://github.com/who/what/", "https://github.com/who/what.git"])
def test_addresses(compendium, repository):
    settings = SimpleNamespace(encore_repository=repository, encore_branch="trunk", encore_pages="html")
    found = launch.addresses(some_paper(compendium), settings)
    assert found["Open in Colab"] == "https://colab.research.google.com/github/who/what/blob/html/colab/lab/page.ipynb"
    binder = urlsplit(found["Open in Binder"])
    assert (binder.netloc, binder.path) == ("mybinder.org", "/v2/gh/who/what/trunk")
    assert parse_qs(binder.query) == {"labpath": ["notebooks/lab/page.ipynb"]}


def test_without_a_repository_there_are_no_addresses(compendium):
    assert launch.addresses(some_paper(compendium), SimpleNamespace(encore_repository="", encore_branch="b", encore_pages="p")) == {}


def test_binder_finds_what_it_needs():
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    (pins,) = (d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert set(re.findall(r"^\S+==\S+", (PROJECT / "requirements.lock").read_text(), re.M)) <= set(pins)
    script = PROJECT / "postBuild"
    assert os.access(script, os.X_OK), "postBuild is not executable; chmod +x postBuild"
    assert script.read_text().startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    assert not {".binder", "binder"} & {p.name for p in PROJECT.iterdir()}, "Binder would look there and not at the root"
    for p in PUBLISHED:
        assert (PROJECT / f"{p.docname}.ipynb").is_file()


@pytest.mark.parametrize("paper", PUBLISHED, ids=lambda p: p.entry.name)
def test_the_notebook_for_colab_is_the_page_without_outputs_below_one_more_cell(tmp_path, paper):
    launch.write([paper], PROJECT, tmp_path, REPOSITORY, BRANCH)
    nb = nbformat.read(tmp_path / "colab" / f"{paper.entry.name}.ipynb", 4)
    nbformat.validate(nb)
    page = nbformat.read(PROJECT / f"{paper.docname}.ipynb", 4)
    assert nb.cells[0].cell_type == "markdown"
    assert nb.cells[0].source.startswith("# ")
    assert REPOSITORY in nb.cells[1].source
    assert [(c.cell_type, c.source) for c in [nb.cells[0], *nb.cells[2:]]] == [(c.cell_type, c.source) for c in page.cells]
    code = [c for c in nb.cells if c.cell_type == "code"]
    assert [c.outputs for c in code] == [[]] * len(code)
    assert {c.execution_count for c in code} == {None}
    assert len({c.id for c in nb.cells}) == len(nb.cells)
    fetched = {re.sub(r"[-_.]+", "-", p).lower() for p in (*launch.ALWAYS, *paper.result["packages"])}
    used = key.page_imports(page).union(*(key.module_imports(m) for m in key.NOT_COMPUTE if key.module_file(m)))
    there = {"numpy", "torch", "ipython", "cycler"}  # Colab runs IPython and has the first two; cycler belongs to matplotlib
    assert set(key.packages(used)) <= fetched | there, "ALWAYS of press/site/launch.py lacks what encore imports"


def test_a_newer_page_is_written_again_and_only_then(tmp_path, compendium):
    paper = some_paper(compendium)
    source = compendium.notebook("lab/page")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# One")])))
    out = tmp_path / "html"
    for time, title in ((10, "One"), (10, "Two"), (2_000_000_000 * 2, "Two")):
        source.write_text(source.read_text().replace("One", title))
        os.utime(source, (time, time))
        launch.write([paper], compendium.root, out, REPOSITORY, BRANCH)
        shown = json.loads((out / "colab" / "lab" / "page.ipynb").read_text())["cells"][0]["source"]
        assert "".join(shown) == ("# One" if time == 10 else "# Two")


@pytest.fixture
def without_network(tmp_path):
    """Environment in which the book's repository is a copy of this checkout, and pip knows installed packages only."""
    origin = tmp_path / "origin"
    for part in ("lib/encore", "data/papers"):
        shutil.copytree(PROJECT / part, origin / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("data/datasets.yml", "data/chapters.yml", "requirements.lock"):
        shutil.copyfile(PROJECT / part, origin / part)
    settings = {
        f"url.{origin.as_uri()}.insteadOf": REPOSITORY,
        "user.name": "A tester",
        "user.email": "tester@example.org",
        "commit.gpgsign": "false",
    }
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ENCORE_", "GIT_", "PIP_", "PYTHONPATH"))}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": str(len(settings))}
    for k, (name, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{k}": name, f"GIT_CONFIG_VALUE_{k}": value}
    environment |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_ROOT_USER_ACTION": "ignore"}
    for command in (["init", "-q", "-b", BRANCH], ["add", "."], ["commit", "-q", "-m", "The project"]):
        subprocess.run(["git", *command], cwd=origin, env=environment, check=True)
    return environment


@pytest.mark.slow
def test_the_first_cell_fetches_the_project_and_its_packages(tmp_path, without_network):
    paper = PUBLISHED[-1]
    launch.write([paper], PROJECT, tmp_path, REPOSITORY, BRANCH)
    setup = nbformat.read(tmp_path / "colab" / f"{paper.entry.name}.ipynb", 4).cells[1].source
    use = (
        f"import encore, encore.register\n"
        f"page = encore.open({paper.entry.name!r}, 'smoke', 0)\n"
        f"print(encore.__file__, encore.register.load({paper.entry.name!r}).title, sep='\\n')\n"
    )
    place = tmp_path / "content"
    place.mkdir()

    def run(code):
        call = [sys.executable, "-c", code]
        return subprocess.run(call, cwd=place, env=without_network, capture_output=True, text=True, check=False)

    for _ in range(2):  # the second time there is nothing to fetch
        done = run(f"{setup}\n{use}")
        assert done.returncode == 0, done.stderr
        file, title = done.stdout.splitlines()[-2:]
        assert Path(file) == place / "encore-compendium" / "lib" / "encore" / "__init__.py"
        assert title == paper.entry.title
        without_network["PATH"] = "/nonexistent"  # no git
    shutil.rmtree(place / "encore-compendium")
    assert run(setup).returncode != 0, "a failed download must not go unnoticed"
