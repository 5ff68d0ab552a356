"""Every page of the book: its contract, a run in smoke, a re-execution in book."""

import json
import os
from pathlib import Path

from encore import claims
from press import check, files, state, validate

ROOT = Path(__file__).resolve().parents[2]
VALIDATION_BUDGET_S = 1500


def test_register_contract_keys_and_citations_are_in_order():
    assert check.check() == []


def test_every_page_runs_in_smoke_and_judges_nothing(smoke):
    for e in state.pages():
        result = json.loads((smoke / f"{e.name}.json").read_text())
        assert {c["verdict"] for c in result["claims"]} == {claims.NOT_JUDGED}, e.name


def test_pages_re_executed_with_nbval_agree_with_what_is_stored():
    chosen = validate.choose(state.pages(), VALIDATION_BUDGET_S)
    report = validate.validate(chosen, workers=min(2, os.cpu_count() or 1))
    print("\n".join(report.reported))
    assert report.failures == []
    assert report.pages == len(chosen) > 0


def test_every_verdict_follows_from_the_stored_samples():
    from encore.page import rejudge

    for e in state.pages():
        stored = files.read_result(e.name)
        assert rejudge(e, stored)["claims"] == stored["claims"], e.name


def test_the_tree_stays_small():
    size = sum(p.stat().st_size for d in ("notebooks", "data", "lib", "book", "tests") for p in (ROOT / d).rglob("*") if p.is_file())
    assert size < 60e6
