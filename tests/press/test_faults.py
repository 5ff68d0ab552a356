"""Planted faults: every way in which a page can break is caught, with a message that names the page, and nothing finished is lost."""

import json

import pytest
from lab import Compendium

from encore import register
from press import contract, execute, run, state

BROKEN = {
    "raises": {"body": 'raise ValueError("boom")'},
    "hangs": {"body": "import time\ntime.sleep(1000)"},
    "eats": {"body": "hoard = [np.ones(4_000_000) for _ in range(60)]\nimport time\ntime.sleep(60)", "memory_mb": 1000},
    "killed": {"body": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"},
    "dials": {"body": 'import socket\nsocket.create_connection(("example.org", 80))'},
    "forgets": {"edit": lambda t: t.replace('page.claim("same", encore.exact(0.0))', "")},
    "no-alt": {"edit": lambda t: t.replace('alt="A line."', 'alt=""')},
    "no-verdict": {"edit": lambda t: t.replace("page.verdict()", "pass")},
    "borrows": {"edit": lambda t: t.replace("lab/borrows", "lab/good")},
    "fails-its-check": {"edit": lambda t: t.replace('"a sum", 0.0', '"a sum", 0.5')},
    "has-nan": {"body": "rng = np.random.default_rng(0)", "edit": lambda t: t.replace("ours, other = ", "other = ours = np.nan * ")},
    "too-few": {"edit": lambda t: t.replace("book=6", "book=4")},
}
SAYS = {
    "raises": "cell 8 raised ValueError: boom",
    "hangs": "ran longer than its limit of 15 s",
    "eats": "its limit is 1000 MB; make it smaller or raise budget.memory_mb",
    "killed": "its kernel was killed from outside",
    "dials": "page lab/dials tried to connect to example.org: pages have no network",
    "forgets": "no measurement for the registered claim same",
    "no-alt": "has no alt text",
    "no-verdict": "must end its Verdict section with page.verdict()",
    "borrows": "encore.open must be given the page's own name",
    "fails-its-check": "check failed: a sum: error 0.5, tolerance 1e-09",
    "has-nan": "NaN or infinite",
    "too-few": "run at least 5 seeds",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """One run over a sound page and all the broken ones, two at a time."""
    root = tmp_path_factory.mktemp("broken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCORE_ROOT", str(root))
        patch.setattr(execute, "limit_s", lambda entry, profile: 15 if entry.slug == "hangs" else 300)
        lab = Compendium(root)
        lab.add("good")
        for slug, how in BROKEN.items():
            budget = {"smoke_s": 5, "book_s": 10, "memory_mb": how.get("memory_mb", 2048)}
            lab.add(slug, how.get("body", ""), how.get("edit", lambda t: t), budget=budget)
        register.load_all.cache_clear()
        problems = run.run(state.pages())
        yield lab, problems
        register.load_all.cache_clear()


@pytest.mark.parametrize("slug", BROKEN)
def test_a_broken_page_is_reported_with_its_name_and_reason(broken, slug):
    lab, problems = broken
    mine = [p for p in problems if p.startswith(f"lab/{slug}")]
    assert len(mine) == 1, problems
    assert SAYS[slug] in mine[0]
    assert not lab.notebook(f"lab/{slug}").exists()
    assert not lab.result(f"lab/{slug}").exists()


def test_the_sound_page_among_them_is_finished(broken):
    lab, problems = broken
    assert len(problems) == len(BROKEN)
    result = json.loads(lab.result("lab/good").read_text())
    assert [c["verdict"] for c in result["claims"]] == ["reproduced", "reproduced"]
    assert state.of(register.load("lab/good")).needs == ""


def test_failed_notebooks_are_kept_as_far_as_they_got(broken):
    lab, _ = broken
    assert "boom" in (lab.root / "_build" / "failed" / "lab" / "raises.ipynb").read_text()


def test_the_contract_sees_what_a_run_does_not(compendium):
    from press import pair

    def problems(slug, edit):
        name = compendium.add(slug, edit=edit)
        return "\n".join(contract.script_problems(pair.read_source(name), register.load(name), set()))

    assert problems("good", lambda t: t) == ""
    typed = problems("typed", lambda t: t.replace("# ## Verdict", "# ## Verdict\n#\n# We reach 93.2 %."))
    assert "'93.2 %' is typed into prose of 'Verdict'" in typed
    assert "'0.81' typed in" in problems("said", lambda t: t.replace('f"The mean is', 'f"It was 0.81, the mean is'))
    assert "page.figure without alt=" in problems("alt", lambda t: t.replace(', alt="A line."', ""))
    assert "registered claim 'same' is never measured" in problems(
        "claim", lambda t: t.replace('page.claim("same", encore.exact(0.0))', "")
    )
    assert "imports requests; pages have no network" in problems(
        "net", lambda t: t.replace("import encore\n", "import encore\nimport requests\n")
    )
    assert "absolute path '/home/me/x.csv'" in problems(
        "path", lambda t: t.replace("import encore\n", 'import encore\nf = "/home/me/x.csv"\n')
    )
    assert "'Results' stands where 'A check' should" in problems("order", lambda t: t.replace("## A check", "## Results"))
    assert "is in no .bib file" in problems("cite", lambda t: t.replace("Something.", "Something {cite:p}`nobody2020`."))
    assert "not declared in the register" in problems(
        "data", lambda t: t.replace("import encore\n", 'import encore\nx = datasets.load("mnist")\n')
    )
    assert "print; use page.say" in problems("prints", lambda t: t.replace("import encore\n", "import encore\nprint(1)\n"))
    assert "encore.stats is not the page API" in problems(
        "api", lambda t: t.replace("import encore\n", "import encore\ny = encore.stats\n")
    )


def test_shell_commands_have_no_place_on_a_page(compendium):
    from press import pair
    from press.files import PressError

    name = compendium.add("shell", "!pip install something")
    with pytest.raises(PressError, match="lab/shell: cell 8 is not valid Python.*shell commands"):
        pair.read_source(name)


def test_a_corrupted_data_file_stops_its_page_only(compendium, monkeypatch, tmp_path_factory):
    import hashlib

    import yaml

    place = tmp_path_factory.mktemp("data")
    (place / "poem").mkdir()
    text = b"two lines\nof text\n"
    (place / "poem" / "poem.txt").write_bytes(text.replace(b"two", b"too"))
    monkeypatch.setenv("ENCORE_DATA", str(place))
    entry = {
        "title": "A poem", "what": "Two lines.", "arrays": {"text": "str: all of it"}, "licence": "CC0", "citation": "Anon. 2020, A poem",
        "home": "https://example.org", "loader": "text.plain", "args": {"text": "poem.txt"},
        "files": [{
            "name": "poem.txt", "bytes": len(text), "sha256": hashlib.sha256(text).hexdigest(),
            "source": {"kind": "https", "url": f"https://raw.githubusercontent.com/anon/poem/{'a' * 40}/poem.txt"},
        }],
    }  # fmt: skip
    (compendium.root / "data" / "datasets.yml").write_text(yaml.safe_dump({"poem": entry}))
    good = compendium.add("good")
    bad = compendium.add("reads", "from encore import datasets\ntext = datasets.load('poem')['text']", data=["poem"])
    (problem,) = run.run(state.pages())
    assert "poem.txt is not the poem.txt of data set 'poem'" in problem
    assert "Delete it; it will be fetched again from" in problem
    assert compendium.result(good).exists()
    assert not compendium.result(bad).exists()
    (place / "poem" / "poem.txt").write_bytes(text)
    assert run.run(state.pages()) == []
