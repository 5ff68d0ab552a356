"""A copy of the project in which every paper of the register has a page, to measure the book at its full size.

    python benchmarks/synthetic.py FOLDER

Pages that exist stay as they are. Every planned paper gets the notebook, script and results of one of them, under its own title, idea and
claims; its verdicts are drawn at random with a fixed seed. Nothing of it is true: FOLDER is for timing only, and is never published.
"""

import copy
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from encore import page, register

ROOT = Path(__file__).resolve().parents[1]
RULES = {
    "exact": {"tol": 1e-9},
    "bound": {"slack": 0.0},
    "higher": {"baseline": "baseline"},
    "lower": {"baseline": "baseline"},
    "trend": {"direction": "increasing"},
    "rate": {"band": [-1.0, 1.0]},
    "close": {"tol": 1.0},
}
VERDICTS = ("reproduced", "reproduced", "not reproduced", "inconclusive")


def copy_project(target: Path) -> None:
    """The committed and the new files of the working tree, as git sees them, and whatever `shared` lies beside the project."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, place)


def fill(root: Path) -> int:
    """Give every paper without results a page made from one that has them. Returns the number of papers."""
    donors = [json.loads(f.read_text()) | {"name": f"{f.parent.name}/{f.stem}"} for f in sorted((root / "data/results").glob("*/*.json"))]
    chance = random.Random(0)
    entries = sorted((root / "data/papers").glob("*/*.yml"))
    for k, path in enumerate(entries):
        entry = yaml.safe_load(path.read_text())
        name = f"{entry['chapter']}/{entry['slug']}"
        if (root / "data/results" / f"{name}.json").is_file():
            continue
        donor = donors[k % len(donors)]
        entry |= {"status": "page", "data": yaml.safe_load((root / "data/papers" / f"{donor['name']}.yml").read_text())["data"]}
        for claim in entry["claims"]:
            claim.setdefault("rule", RULES[claim["kind"]])
        path.write_text(yaml.safe_dump(entry, sort_keys=False, allow_unicode=True))
        results = _results(entry, donor, chance)
        _write(root / "data/results" / f"{name}.json", json.dumps(results))
        notebook = json.loads((root / "notebooks" / f"{donor['name']}.ipynb").read_text())
        _write(root / "notebooks" / f"{name}.ipynb", json.dumps(_notebook(entry, notebook, results)))
        shutil.copyfile(root / "notebooks" / f"{donor['name']}.py", root / "notebooks" / f"{name}.py")
    return len(entries)


def _results(entry: dict, donor: dict, chance: random.Random) -> dict:
    out = copy.deepcopy({k: v for k, v in donor.items() if k != "name"}) | {"slug": entry["slug"], "chapter": entry["chapter"]}
    out["claims"] = []
    for claim in entry["claims"]:
        value = chance.gauss(0, 1)
        test = dict(
            name="", kind=claim["kind"], samples={}, why="", verdict=chance.choice(VERDICTS), n=5, baseline=None, detail="synthetic",
            value=value, low=value - 0.5, high=value + 0.5,
        )  # fmt: skip
        out["claims"].append({k: test[k] for k in ("kind", "verdict", "n", "baseline", "detail", "value", "low", "high")})
        out["claims"][-1] |= {"id": claim["id"], "tests": [test]}
    return out


def _notebook(entry: dict, notebook: dict, results: dict) -> dict:
    prose = [c for c in notebook["cells"] if c["cell_type"] == "markdown"]
    prose[0]["source"] = f"# {entry['title']}\n"
    prose[1]["source"] = f"## The idea\n\n{entry['idea']}\n"
    for cell in prose:  # labels of exercises are unique in the book
        cell["source"] = "".join(cell["source"]).replace(":label: ", f":label: {entry['slug']}-")
    for out in (out for cell in notebook["cells"] for out in cell.get("outputs", ())):
        if page.RESULT_MIME in out.get("data", {}):
            out["data"] = page.verdict_bundle(register.Entry(**entry), results)
    return notebook


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = Path(sys.argv[1]).resolve()
    if target.exists():
        sys.exit(f"{target} exists already; name a new folder, or remove it")
    copy_project(target)
    print(f"{fill(target)} pages in {target}")


if __name__ == "__main__":
    main()
