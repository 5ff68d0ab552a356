"""Every solution and every student's edition in smoke, without running a page twice; and a notebook of each course, unpacked, for real.

A student's edition is the page without its solutions. The smoke run of a page executes its solutions last, so what it executed before them
is the student's edition; that they are the same cells is checked here.
"""

import subprocess
import sys
import zipfile

import nbformat
import pytest

from encore import datasets
from press import exercises, pair, state, teach
from press.teach import bundle, editions
from press.warm import kernel_environment

pytestmark = pytest.mark.slow


def executed(smoke, entry):
    """The code cells of a page as the smoke run executed them."""
    nb = nbformat.read(smoke / f"{entry.name}.ipynb", as_version=4)
    return [c for _, c in pair.code_cells(nb)]


def test_every_solution_runs_in_smoke_after_all_other_cells(smoke):
    for e in state.pages():
        cells = executed(smoke, e)
        counts = [c.execution_count or 0 for c in cells]
        assert counts == sorted(set(counts) - {0}), f"{e.name}: a cell was not run, or not in its place"
        solved = [exercises.is_solution(c) for c in cells]
        assert any(solved), e.name
        assert solved == sorted(solved), f"{e.name}: a cell that is no solution runs after a solution"


def test_every_students_edition_is_what_ran_in_smoke_and_comments(smoke):
    for e in {e.name: e for c in teach.load() for _, e in c.pages}.values():
        (course, *_) = [c for c in teach.load() if e in [p for _, p in c.pages]]
        cells = [c for c in editions.notebook(e, course, "student", {}).cells if c.cell_type == "code"]
        find, own = cells[0], [c for c in cells[1:] if "your-turn" not in c.metadata.get("tags", [])]
        assert find.source == editions.FIND
        assert [c.source for c in own] == [c.source for c in executed(smoke, e) if not exercises.is_solution(c)], e.name
        turns = [c for c in cells[1:] if c not in own]
        assert cells[-len(turns) :] == turns, e.name
        assert len(turns) == len(exercises.read(pair.read_source(e.name).cells)), e.name
        assert all(pair.normalised(c.source) == "" for c in turns), e.name


def test_the_first_notebook_of_every_course_runs_where_a_student_unpacks_it(tmp_path):
    """With the unpacked library, register and catalogue, and nothing else of the project."""
    running = {}
    for course in teach.load():
        week, entry = course.pages[0]
        top, home = f"encore-{course.slug}-student", tmp_path / f"encore-{course.slug}-student"
        (tmp_path / f"{top}.zip").write_bytes(bundle.zipped(bundle.contents(course, "student"), top))
        with zipfile.ZipFile(tmp_path / f"{top}.zip") as archive:
            archive.extractall(tmp_path)
        for d in entry.data_ids:
            for name, path in datasets.fetch(d).items():
                link = tmp_path / "data" / d / name
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    link.symlink_to(path)
        clean = {k: v for k, v in kernel_environment().items() if not k.startswith("ENCORE_")}
        env = clean | {"PYTHONPATH": str(home / "lib"), "ENCORE_DATA": str(tmp_path / "data"), "ENCORE_QUIET": "1"}
        where = [sys.executable, "-c", "from encore import paths; print(paths.__file__, paths.root())"]
        said = subprocess.run(where, cwd=home / "notebooks", env=env, capture_output=True, text=True, check=True).stdout
        assert said.split() == [str(home / "lib" / "encore" / "paths.py"), str(home)]
        name = bundle.file_name(week, entry)
        call = [sys.executable, "-m", "papermill", name, "ran.ipynb", "-p", "profile", "smoke", "--no-progress-bar", "--log-level", "ERROR"]
        running[home, entry.name] = subprocess.Popen(call, cwd=home / "notebooks", env=env, stderr=subprocess.PIPE, text=True)
    for (home, page), process in running.items():
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err[-2000:]
        result = pair.result_of(nbformat.read(home / "notebooks" / "ran.ipynb", as_version=4))
        assert (f"{result['chapter']}/{result['slug']}", result["profile"]) == (page, "smoke")
