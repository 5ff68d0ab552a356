"""How long the book takes to build: `press book --render-only` and `jupyter-book build` on the same pages.

    python benchmarks/synthetic.py FOLDER
    python benchmarks/book.py FOLDER [ROUNDS]

FOLDER is a copy of the project (its own lib is used), ROUNDS the number of repetitions, 2 unless given; the quickest counts. Prints a
Markdown table with wall seconds and CPU seconds (user and system, of all processes). Builds lie in FOLDER/_build and FOLDER/_build/jb.
Both builders use the project's _config.yml and extension; what differs is parallel reading and writing, and garbage collection.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PRESS = "import sys; from pathlib import Path; from press import site; sys.exit(site.build(Path(sys.argv[1]), Path(sys.argv[2]), True))"


@dataclass(frozen=True, order=True)
class Spent:
    """Wall seconds, CPU seconds of all processes, and the largest process's memory in MB."""

    wall: float
    cpu: float
    peak_mb: float


def spend(command: list[str], root: Path) -> Spent:
    """Run a build. Raises SystemExit with its output if it fails: a build with warnings forgets its cache, and is none to measure."""
    log = root / "_build" / "benchmark.log"
    log.parent.mkdir(exist_ok=True)
    begun = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=root, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": str(root / "lib")})
        _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return Spent(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def edit(root: Path, k: int) -> None:
    """Add a sentence to one page."""
    path = sorted((root / "notebooks").glob("*/*.ipynb"))[100 + k]
    notebook = json.loads(path.read_text())
    prose = [c for c in notebook["cells"] if c["cell_type"] == "markdown"]
    prose[1]["source"] = "".join(prose[1]["source"]) + f"\n\nAn edit at {time.time()}.\n"
    path.write_text(json.dumps(notebook))


def measure(command: list[str], root: Path, built: Path, rounds: int) -> dict[str, Spent]:
    """Everything from nothing, again without a change, and again with one page edited; `built`: the folder to remove."""
    found = {"full": [], "one page edited": [], "nothing to do": []}
    for k in range(rounds):
        shutil.rmtree(built, ignore_errors=True)
        found["full"].append(spend(command, root))
        found["nothing to do"].append(spend(command, root))
        edit(root, k)
        found["one page edited"].append(spend(command, root))
    return {name: min(all_) for name, all_ in found.items()}


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    root, rounds = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) == 3 else 2
    build, jb = root / "_build", root / "_build" / "jb"
    ours = measure([sys.executable, "-c", PRESS, str(root), str(build / "html")], root, build, rounds)
    tool = str(Path(sys.executable).parent / "jupyter-book")
    theirs = measure([tool, "build", str(root), "-n", "-W", "--keep-going", "--path-output", str(jb)], root, jb, rounds)
    pages = len(list((root / "notebooks").glob("*/*.ipynb")))
    print(f"{pages} pages, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}, the best of {rounds}\n")
    print("| build | press: wall s | CPU s | MB | jupyter-book: wall s | CPU s | MB |\n|---|---|---|---|---|---|---|")
    for name, a in ours.items():
        b = theirs[name]
        print(f"| {name} | {a.wall:.1f} | {a.cpu:.1f} | {a.peak_mb:.0f} | {b.wall:.1f} | {b.cpu:.1f} | {b.peak_mb:.0f} |")


if __name__ == "__main__":
    main()
