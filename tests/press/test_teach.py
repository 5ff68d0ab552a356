"""Courses: the two editions of a page, the bundle that a student unpacks, and what is refused."""

import os
import shutil
import subprocess
import sys
import zipfile

import nbformat
import pytest
import yaml

from encore import paths, register
from press import check, cli, contract, exercises, pair, run, state, teach
from press.teach import bundle, course, editions, prose

SECOND = """# %% [markdown]
# :::{exercise}
# :label: one-ex2
# Think about {cite:t}`knuth1984literate`.
# :::
#
# A word at the end.
# %% [markdown]
# ## References
#
# As they say {cite:p}`knuth1984literate`.
"""
BIB = """@article{knuth1984literate, author = {Knuth, Donald E.}, title = {Literate {Programming}}, journal = {The Computer Journal},
 year = {1984}, doi = {10.1093/comjnl/27.2.97}}
"""
COURSE = {
    "title": "A short course",
    "audience": "Anyone.",
    "prerequisites": ["Counting."],
    "goals": ["Count further."],
    "weeks": [
        {"title": "The first", "goals": ["See it."], "pages": ["lab/one"], "exercises": ["one-ex1"], "minutes": 90},
        {
            "title": "The second",
            "goals": ["See more."],
            "pages": ["lab/later", "lab/one"],
            "exercises": ["one-ex2", "later-ex1"],
            "minutes": 60,
        },
        {"title": "The third", "goals": ["See all."], "pages": ["lab/later"], "minutes": 60},
    ],
}


def two_exercises(text):
    """The lab's page with its exercise solved, then a second one without a solution, and a citation."""
    return text.replace("# %% [markdown]\n# ## References\n", SECOND)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A compendium with a course, one page that was run, and one that is planned; copied afresh for every test."""
    from lab import compendium_in

    root = tmp_path_factory.mktemp("taught") / "root"
    with compendium_in(root) as lab:
        lab.add("one", edit=two_exercises, arxiv="2302.06675")
        lab.add("later", status="planned", title="A mere plan")
        (root / "data" / "chapters.yml").write_text("- {id: lab, title: The lab}\n")
        (root / "LICENSE").write_text("A licence\n")
        (root / "data" / "datasets.yml").write_text("{}\n")
        (root / "book").mkdir()
        (root / "book" / "references.bib").write_text(BIB)
        assert run.run(state.pages()) == []
    return root


@pytest.fixture
def taught(ran, tmp_path, monkeypatch):
    root = tmp_path / "root"
    shutil.copytree(ran, root)
    monkeypatch.setenv("ENCORE_ROOT", str(root))
    register.load_all.cache_clear()
    plan(root)
    yield root
    register.load_all.cache_clear()


def plan(root, **changes):
    place = root / "data" / "courses" / "short.yml"
    place.parent.mkdir(exist_ok=True)
    place.write_text(yaml.safe_dump({**COURSE, **changes}, sort_keys=False))


def edition(name):
    (short,) = teach.load()
    return editions.notebook(register.load("lab/one"), short, name, prose.bibliography(paths.root()))


def code(nb):
    return [c for c in nb.cells if c.cell_type == "code"]


def test_the_students_edition_has_neither_outputs_nor_solutions(taught):
    nb, page = edition("student"), pair.read_executed("lab/one")
    assert all(c.outputs == [] and c.execution_count is None for c in code(nb))
    own = [c.source for c in code(nb) if not {"course", "your-turn"} & set(c.metadata.get("tags", []))]
    assert own == [c.source for _, c in pair.code_cells(page) if not exercises.is_solution(c)]
    assert "A solution." not in nbformat.writes(nb)
    after = [nb.cells[i + 1] for i, c in enumerate(nb.cells) if c.source.startswith("### Exercise")]
    assert [c.source.splitlines()[0][:24] for c in after] == ["# Your turn: Exercise 1.", "# Your turn: Exercise 2."]
    assert all(pair.normalised(c.source) == "" for c in after)
    assert "encore" not in nb.metadata


def test_the_instructors_edition_has_both(taught):
    nb, page = edition("teacher"), pair.read_executed("lab/one")
    assert [(c.source, c.outputs) for c in code(nb)[1:]] == [(c.source, c.outputs) for _, c in pair.code_cells(page)]
    told = [c.source for c in nb.cells if c.cell_type == "markdown"]
    solved, unsolved = told.index("**Solution to Exercise 1**"), told.index("*No solution is given to this exercise.*")
    assert told.index("### Exercise 1\n\nChange something, see something.") < solved < unsolved


@pytest.mark.parametrize("name", ["student", "teacher"])
def test_a_courses_notebook_is_plain_markdown_and_says_where_it_belongs(taught, name):
    nb = edition(name)
    told = "\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    assert ":::" not in told
    assert "{cite" not in told
    assert "Think about Knuth (1984)." in told
    assert "As they say (Knuth, 1984)." in told
    assert told.count("A word at the end.") == 1
    assert nb.cells[-1].source == (
        "- Donald E. Knuth (1984). *Literate Programming*. The Computer Journal. <https://doi.org/10.1093/comjnl/27.2.97>"
    )
    assert "Week 1: The first. Exercise 1." in nb.cells[0].source
    assert "Week 2: The second. Exercise 2." in nb.cells[0].source
    assert "https://arxiv.org/abs/2302.06675" in nb.cells[0].source


def test_only_pages_that_have_been_run_are_in_a_course(taught):
    (short,) = teach.load()
    assert [(w.planned, [e.slug for e in w.published]) for w in short.weeks] == [(False, ["one"]), (False, ["one"]), (True, [])]
    assert (short.minutes, [(n, e.slug) for n, e in short.pages]) == (150, [(1, "one")])
    assert [[x.label for _, x in w.exercises] for w in short.weeks] == [["one-ex1"], ["one-ex2"], []]
    told = bundle.readme(short, "student")
    assert "| 1 | The first | 90 | [one](notebooks/01-one.ipynb) | 1 |" in told
    assert "| 2 | The second | 60 | later (planned), [one](notebooks/01-one.ipynb) | 2 |" in told
    assert "| 3 | The third | planned | later (planned) | – |" in told
    assert "2.5 h of a student's work in 2 weeks. 1 further week is planned." in told
    assert not [name for name in bundle.contents(short, "student") if "later" in name]


def test_without_a_list_every_exercise_is_set(taught):
    plan(taught, weeks=[{k: v for k, v in COURSE["weeks"][0].items() if k != "exercises"}])
    (short,) = teach.load()
    assert [x.label for _, x in short.weeks[0].exercises] == ["one-ex1", "one-ex2"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weeks": [{**COURSE["weeks"][0], "pages": ["lab/on"]}]}, "week 1: no paper 'lab/on' in the register"),
        ({"weeks": [{**COURSE["weeks"][0], "pages": ["one"]}]}, "week 1: write chapter/slug, not 'one'"),
        ({"weeks": [{**COURSE["weeks"][0], "exercises": ["one-ex7"]}]}, "week 1: no exercise 'one-ex7' on lab/one"),
        ({"weeks": [{**COURSE["weeks"][0], "minutes": 0}]}, "weeks.0.minutes: Input should be greater than 0"),
        ({"weeks": []}, "weeks: List should have at least 1 item"),
        ({"goal": ["One."]}, "goal: Extra inputs are not permitted"),
        ({"goals": []}, "goals: List should have at least 1 item"),
    ],
)
def test_a_wrong_course_is_refused_with_its_file_and_place(taught, changes, says):
    plan(taught, **changes)
    (problem,) = teach.problems()
    assert problem.startswith(f"{course.FOLDER}/short.yml: ")
    assert says in problem
    assert problem in check.check()


@pytest.mark.parametrize("text", ["- a list", "title: [", "just words"])
def test_a_file_that_is_no_course_is_one_line(taught, text):
    (taught / "data" / "courses" / "short.yml").write_text(text)
    (problem,) = teach.problems()
    assert "data/courses/short.yml: a course is a mapping of fields" in problem


def test_a_stale_page_is_not_taught(taught, capsys):
    script = taught / "notebooks" / "lab" / "one.py"
    script.write_text(script.read_text().replace("rng.normal(0, 0.1, n)", "rng.normal(0, 0.2, n)"))
    assert cli.main(["teach"]) == 1
    assert "lab/one is stale" in capsys.readouterr().err
    assert not (taught / "_build" / "teach").exists()


def test_the_same_tree_gives_the_same_bytes(taught, capsys):
    assert cli.main(["teach"]) == 0
    first = {p: p.read_bytes() for p in sorted((taught / "_build" / "teach").glob("*.zip"))}
    assert [p.name for p in first] == ["encore-short-student.zip", "encore-short-teacher.zip"]
    assert capsys.readouterr().out.split() == [str(p) for p in first]
    for path in taught.rglob("*.yml"):
        os.utime(path, (1, 1))
    (taught / "_build" / "teach" / "student" / "short" / "left-over").write_text("from an earlier course")
    assert cli.main(["teach"]) == 0
    assert {p: p.read_bytes() for p in first} == first
    for path in first:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            assert names == sorted(names)
            assert {i.date_time for i in archive.infolist()} == {bundle.STAMP}
            folder = path.with_suffix("").name.split("-")[-1]
            lying = taught / "_build" / "teach" / folder / "short"
            assert {n.split("/", 1)[1]: archive.read(n) for n in names} == {
                p.relative_to(lying).as_posix(): p.read_bytes() for p in lying.rglob("*") if p.is_file()
            }
        tops = {"README.md", "requirements.lock", "pyproject.toml", "LICENSE", "lib", "data", "notebooks"}
        assert {n.split("/")[1] for n in names} == tops
        assert not any("lib/press" in n or n.endswith(".py") and "/lib/" not in n for n in names)


@pytest.mark.slow
def test_a_student_unpacks_installs_and_runs(taught, tmp_path):
    """As the README says: install what was unpacked (not in place), then run a notebook from its own folder, top to bottom."""
    assert cli.main(["teach"]) == 0
    with zipfile.ZipFile(taught / "_build" / "teach" / "encore-short-student.zip") as archive:
        archive.extractall(tmp_path / "home")
    home, site = tmp_path / "home" / "encore-short-student", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", site, "."], cwd=home, check=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith("ENCORE_")} | {"PYTHONPATH": str(site)}
    where = "import os, encore; print(encore.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=home / "notebooks", env=env, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(site))
    call = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", "01-one.ipynb"]
    shutil.rmtree(taught)  # nothing of the compendium is left but what was unpacked
    done = subprocess.run(call, cwd=home / "notebooks", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    nb = nbformat.read(home / "notebooks" / "01-one.ipynb", as_version=4)
    assert [c.execution_count for c in code(nb)] == list(range(1, len(code(nb)) + 1))
    verdicts = {c["id"]: c["verdict"] for c in pair.result_of(nb)["claims"]}
    assert verdicts == {"small": "reproduced", "same": "reproduced"}


BLOCK = "# :::{exercise}\n# :label: odd-ex1\n# Change something, see something.\n# :::\n"
MISSHAPEN = {
    "is an admonition": (lambda t: t.replace(":::{exercise}\n# :label: odd-ex1", "```{admonition} Exercise 1"), "a block of its own"),
    "is not closed": (lambda t: t.replace("see something.\n# :::\n", "see something.\n"), "a block of its own"),
    "has no label": (lambda t: t.replace("# :label: odd-ex1\n", ""), "a block of its own"),
    "is labelled otherwise": (lambda t: t.replace("odd-ex1", "odd-1"), "is labelled 'odd-1'; call it 'odd-ex1'"),
    "has no text": (lambda t: t.replace("# Change something, see something.\n", ""), "exercise 1 has no text"),
    "stands elsewhere": (lambda t: t.replace(BLOCK, "").replace("# Something.\n", "#\n" + BLOCK), "stands in section 'The idea'"),
    "is missing": (lambda t: t.replace(BLOCK, ""), "no exercise"),
    "is far from its solution": (lambda t: t.replace(BLOCK, BLOCK + "# %% [markdown]\n# Now think.\n"), "a solution follows its exercise"),
    "shows its solution": (lambda t: t.replace('["hide-cell", "solution"]', '["solution"]'), 'tag it "hide-cell" as well'),
    "has no solution": (lambda t: t.replace('# %% tags=["hide-cell", "solution"]\npage.say("A solution.")\n', ""), "no runnable exercise"),
}


@pytest.mark.parametrize("how", MISSHAPEN)
def test_an_exercise_that_is_misshapen_is_named(compendium, how):
    edit, says = MISSHAPEN[how]
    name = compendium.add("odd", edit=edit)
    assert [p for p in contract.script_problems(pair.read_source(name), register.load(name), set()) if says in p]


def test_well_formed_exercises_are_read_in_order(compendium):
    name = compendium.add("one", edit=two_exercises)
    nb = pair.read_source(name)
    assert list(contract.script_problems(nb, register.load(name), {"knuth1984literate"})) == []
    first, second = exercises.read(nb.cells)
    assert (first.number, first.label, first.text, len(first.solution)) == (1, "one-ex1", "Change something, see something.", 1)
    assert (second.number, second.label, second.solution) == (2, "one-ex2", ())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{cite:p}`a, b`", "(Aa, 2001; Bb and Cc, 2002)"),
        ("{cite:t}`a`", "Aa (2001)"),
        ("{cite}`c`", "(Dd et al., 2003)"),
        ("{cite:p}`d`", "(Nameless, 2004)"),
        ("{cite:p}`nobody`", "(nobody)"),
    ],
)
def test_citations_are_written_out(tmp_path, text, shown):
    (tmp_path / "book" / "bib").mkdir(parents=True)
    (tmp_path / "book" / "bib" / "x.bib").write_text(
        "@misc{a, author={Aa, X.}, title={T}, year=2001}\n@misc{b, author={Bb, X. and Cc, Y.}, title={T}, year=2002}\n"
        "@misc{c, author={Dd, X. and Ee, Y. and Ff, Z.}, title={T}, year=2003, howpublished={\\url{https://example.org/c}}}\n"
        "@misc{d, title={Nameless}, year=2004}\n"
    )
    works = prose.bibliography(tmp_path)
    assert prose.written_out(text, works) == shown
    assert prose.reference(works["c"]) == "X. Dd, Y. Ee, Z. Ff (2003). *T*. <https://example.org/c>"
    assert prose.reference(works["d"]) == "2004. *Nameless*."
