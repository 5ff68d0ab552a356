"""Stale, hand-edited, re-judged, re-synced: what the two hashes see, and what they do not."""

import json

import pytest
import yaml

from encore import register
from press import check, key, pair, results, run, state, validate
from press.files import PressError


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A compendium with one page that was run, copied afresh for every test."""
    from lab import compendium_in

    root = tmp_path_factory.mktemp("ran") / "root"
    with compendium_in(root) as lab:
        lab.add("one")
        assert run.run(state.pages(["lab/one"])) == []
    return root


@pytest.fixture
def lab(ran, tmp_path, monkeypatch):
    import shutil

    from lab import Compendium

    shutil.copytree(ran, tmp_path / "root")
    monkeypatch.setenv("ENCORE_ROOT", str(tmp_path / "root"))
    register.load_all.cache_clear()
    c = Compendium.__new__(Compendium)
    c.root = tmp_path / "root"
    yield c
    register.load_all.cache_clear()


NAME = "lab/one"


def needs():
    return state.of(register.load(NAME)).needs


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_fresh_page_needs_nothing(lab):
    assert needs() == ""
    assert check.page_problems(register.load(NAME), set()) == []


def test_changed_code_makes_a_page_stale(lab):
    edit(lab.script(NAME), "rng.normal(0, 0.1, n)", "rng.normal(0, 0.2, n)")
    s = state.of(register.load(NAME))
    assert s.needs == "run"
    assert "lab/one is stale" in s.why
    assert "press run lab/one" in s.why


def test_prose_and_comments_never_re_execute(lab):
    before = json.loads(lab.result(NAME).read_text())
    edit(lab.script(NAME), "# Something.", "# Something else, at length.")
    edit(lab.script(NAME), "fig, ax = plt", "# a comment\nfig, ax = plt")
    assert needs() == "sync"
    assert pair.resync(NAME)
    assert needs() == ""
    nb = pair.read_executed(NAME)
    assert "at length" in nb.cells[1].source
    assert pair.result_of(nb)["claims"] == before["claims"]
    assert not pair.resync(NAME)


def test_resync_refuses_changed_code(lab):
    edit(lab.script(NAME), "0.1, n)", "0.3, n)")
    with pytest.raises(PressError, match="the code of the script and of the notebook differ; run the page: press run lab/one"):
        pair.resync(NAME)


@pytest.mark.parametrize(
    ("file", "old", "new"), [("notebook", "The mean is", "The median is"), ("result", '"reproduced"', '"inconclusive"')]
)
def test_hand_edited_outputs_are_seen(lab, file, old, new):
    edit(getattr(lab, file)(NAME), old, new)
    s = state.of(register.load(NAME))
    assert s.needs == "run"
    assert "edited by hand" in s.why or "does not say what" in s.why


def test_cells_out_of_order_are_seen(lab):
    nb = pair.read_executed(NAME)
    code = pair.code_cells(nb)
    code[2][1].execution_count, code[3][1].execution_count = 4, 3
    pair.save(NAME, nb)
    assert any("not run once each from top to bottom" in p for p in check.page_problems(register.load(NAME), set()))


def test_a_changed_rule_is_judged_again_without_running(lab):
    place = lab.root / "data" / "papers" / "lab" / "one.yml"
    entry = yaml.safe_load(place.read_text())
    entry["claims"][0]["rule"]["margin"] = -5.0
    place.write_text(yaml.safe_dump(entry, sort_keys=False))
    assert needs() == "judge"
    assert results.judge(register.load(NAME)) == ["lab/one: small: reproduced -> not reproduced"]
    assert needs() == ""
    plain = next(o["data"]["text/plain"] for _, c in pair.code_cells(pair.read_executed(NAME)) for o in c.outputs if "text/html" in o.data)
    assert "small: not reproduced" in plain


def test_a_broken_notebook_or_result_is_one_clear_error(lab):
    lab.notebook(NAME).write_text("{half")
    assert "run the page again: press run lab/one --force" in check.page_problems(register.load(NAME), set())[0]
    lab.result(NAME).write_text("{half")
    assert any("cannot be read" in p or "not valid JSON" in p for p in check.page_problems(register.load(NAME), set()))


def test_the_key_sees_packages_data_parameters_and_modules(lab, monkeypatch):
    entry, nb = register.load(NAME), pair.read_source(NAME)
    base = key.key(nb, entry, "book", 0)
    assert key.key(nb, entry, "book", 1) != base
    assert key.key(nb, entry, "smoke", 0) != base
    real = key.module_source
    monkeypatch.setattr(key, "module_source", lambda m: real(m) + ("\nx = 1" if m == "encore.seeds" else ""))
    assert key.key(nb, entry, "book", 0) != base
    monkeypatch.setattr(key, "module_source", lambda m: real(m) + ("\nx = 1" if m == "encore.figures" else ""))
    assert key.key(nb, entry, "book", 0) == base
    monkeypatch.setattr(key, "module_source", real)
    key.locked.cache_clear()
    lock = lab.root / "requirements.lock"
    lock.write_text(lock.read_text() + "captum==0.9.0\n")
    assert key.key(nb, entry, "book", 0) == base, "a package the page does not import leaves it alone"
    key.locked.cache_clear()
    lock.write_text(lock.read_text().replace("numpy==2.4.6", "numpy==2.4.7"))
    assert key.key(nb, entry, "book", 0) != base
    key.locked.cache_clear()


def test_pages_never_hash_the_page_api_or_the_press():
    modules = key.compute_modules({"encore", "encore.figures", "encore.datasets", "press.cli", "numpy"})
    assert modules == ["encore.seeds"]


def test_validation_tells_agreement_from_disagreement(lab):
    report = validate.validate([register.load(NAME)])
    assert (report.pages, report.failures, report.reported) == (1, [], [])


def test_validation_compares_verdicts_and_values():
    stored = {"claims": [{"id": "a", "verdict": "reproduced", "tests": [{"value": 1.0, "low": 0.9, "high": 1.1}]}]}

    def fresh(verdict, value):
        return {"claims": [{"id": "a", "verdict": verdict, "tests": [{"value": value, "low": 0, "high": 0}]}]}

    assert validate.disagreements(stored["claims"], fresh("reproduced", 1.15)) == []
    assert "value 1.3" in validate.disagreements(stored["claims"], fresh("reproduced", 1.3))[0]
    assert "is now inconclusive" in validate.disagreements(stored["claims"], fresh("inconclusive", 1.0))[0]
    assert "was not measured" in validate.disagreements(stored["claims"], {"claims": []})[0]


@pytest.mark.parametrize("same_cpu", [True, False])
def test_a_disagreement_fails_on_the_same_cpu_and_is_reported_elsewhere(lab, monkeypatch, same_cpu):
    result = json.loads(lab.result(NAME).read_text())
    result["claims"][0]["verdict"] = "inconclusive"
    lab.result(NAME).write_text(json.dumps(result))
    monkeypatch.setattr(validate, "cpu_model", lambda: result["cpu"] if same_cpu else "another CPU")
    report = validate.validate([register.load(NAME)])
    assert bool(report.failures) is same_cpu
    assert bool(report.reported) is not same_cpu


def test_a_claim_measured_with_a_clock_is_only_reported(lab, monkeypatch):
    edit(lab.root / "data" / "papers" / "lab" / "one.yml", "id: small", "id: small\n  timed: true")
    result = json.loads(lab.result(NAME).read_text())
    result["claims"][0]["verdict"] = "inconclusive"
    lab.result(NAME).write_text(json.dumps(result))
    monkeypatch.setattr(validate, "cpu_model", lambda: result["cpu"])
    monkeypatch.setattr(validate, "MAX_ELSEWHERE", 0)
    report = validate.validate([register.load(NAME)])
    assert not report.failures
    assert [("claim small" in line, validate.BY_CLOCK in line) for line in report.reported] == [(True, True)]


def test_the_canary_validation_fails_a_page_that_cannot_run(lab):
    edit(lab.notebook(NAME), "rng.normal(0, 0.1, n)", "undefined_name")
    report = validate.validate([register.load(NAME)])
    assert any("lab/one" in f and "NameError" in f for f in report.failures), report


def test_planned_and_unknown_pages_are_named(lab):
    lab_entry = lab.root / "data" / "papers" / "lab" / "later.yml"
    lab_entry.write_text(
        (lab.root / "data" / "papers" / "lab" / "one.yml")
        .read_text()
        .replace("slug: one", "slug: later")
        .replace("status: page", "status: planned")
    )
    with pytest.raises(PressError, match="lab/later is planned, not a page yet"):
        state.pages(["lab/later"])
    with pytest.raises(register.RegisterError, match="did you mean lab/one"):
        state.pages(["lab/on"])
    with pytest.raises(PressError, match="no chapter 'nowhere'"):
        state.pages(chapter="nowhere")
