"""The command line: one line per problem, the right exit status, and what the small verbs do."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from encore import register
from press import cli, contract, environment, new, pair, run, state
from press.files import PressError

ROOT = Path(__file__).resolve().parents[2]
RULES = {
    "exact": {"tol": 1e-9},
    "bound": {},
    "higher": {"baseline": "the other"},
    "lower": {"baseline": "the other"},
    "trend": {"direction": "increasing"},
    "rate": {"band": [0.5, 1.5]},
    "close": {"tol": 0.1},
}


def test_the_skeleton_of_a_page_with_every_kind_runs_as_it_is(compendium):
    claims = [{"id": k, "says": f"A {k} claim.", "kind": k, "test": "t", "rule": r} for k, r in RULES.items()]
    claims[0]["also"] = [{"name": "a second test", "kind": "close", "rule": {"tol": 1.0}}]
    name = compendium.add("fresh", claims=claims)
    compendium.script(name).unlink()
    assert cli.main(["new", name]) == 0
    assert run.run(state.pages([name])) == []
    result = json.loads(compendium.result(name).read_text())
    assert {c["id"]: c["verdict"] for c in result["claims"]} == dict.fromkeys(RULES, "reproduced")
    assert list(contract.script_problems(pair.read_source(name), register.load(name), set())) == []
    with pytest.raises(PressError, match="exists already"):
        new.new(name)


def test_a_skeleton_needs_its_rules_first(compendium):
    name = compendium.add("one")
    compendium.script(name).unlink()
    path = register.path_of(name)
    entry = yaml.safe_load(path.read_text())
    entry["status"] = "planned"
    del entry["claims"][1]["rule"]
    path.write_text(yaml.safe_dump(entry))
    with pytest.raises(PressError, match="claim 'same' has no `rule` yet"):
        new.new(name)
    entry["claims"][1]["rule"] = {"tol": 1.0}
    path.write_text(yaml.safe_dump(entry))
    with pytest.raises(PressError, match="set status: page first"):
        new.new(name)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["run", "lab/nothing"], "no paper 'lab/nothing' in the register"),
        (["run", "--chapter", "nowhere"], "no chapter 'nowhere' in the register; there are lab"),
        (["judge", "lab/one"], "lab/one has no stored samples; run it: press run lab/one"),
        (["new", "lab/one"], "exists already; edit it, or delete it first"),
        (["fetch", "no-such-data"], "no-such-data"),
    ],
)
def test_an_error_is_one_line_that_names_the_thing(compendium, capsys, argv, says):
    compendium.add("one")
    (compendium.root / "data" / "datasets.yml").write_text("{}\n")
    assert cli.main(argv) == 1
    err = capsys.readouterr().err.strip()
    assert says in err
    assert "Traceback" not in err


def test_status_lists_what_is_stale_as_text_and_as_json(compendium, capsys):
    compendium.add("one")
    assert cli.main(["status", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["name"], record["needs"]) == ("lab/one", "run")
    assert cli.main(["status"]) == 0
    assert re.search(r"lab/one\s+run", capsys.readouterr().out)


def test_an_unknown_verb_or_profile_is_a_usage_error(capsys):
    for argv in (["fly"], ["run", "--profile", "huge"], []):
        with pytest.raises(SystemExit) as stop:
            cli.main(argv)
        assert stop.value.code == 2
        assert "usage: press" in capsys.readouterr().err


def test_the_environment_file_and_the_lock_agree():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    lock = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")]
    assert listed == lock
    assert (ROOT / "environment.yml").read_text() == environment.environment()


def test_the_lock_pins_every_dependency_exactly_and_names_no_host():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
    assert "torch==2.13.0" in lines


def test_every_make_target_is_explained():
    text = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"\.PHONY: (.+)", text).group(1).split())
    explained = set(re.findall(r"^([a-z-]+):.*## ", text, re.M))
    assert targets == explained
    shown = subprocess.run(["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in shown.splitlines()} == targets


def test_an_expired_or_unknown_quarantine_fails(compendium):
    from press import quarantine

    compendium.add("one")
    place = compendium.root / "data" / "quarantine.yml"
    place.write_text("- {page: lab/one, reason: flaky, until: 2020-01-01}\n")
    with pytest.raises(PressError, match="quarantine of lab/one expired on 2020-01-01: mend the page"):
        quarantine.load()
    place.write_text("- {page: lab/none, reason: flaky, until: 2099-01-01}\n")
    with pytest.raises(PressError, match="no page 'lab/none'"):
        quarantine.load()
    place.write_text("- {page: lab/one, because: flaky}\n")
    with pytest.raises(PressError, match="each case is"):
        quarantine.load()
    place.write_text("- {page: lab/one, reason: flaky, until: 2099-01-01}\n")
    assert quarantine.names() == {"lab/one"}
