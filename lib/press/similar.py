"""Which papers are alike: nearest neighbours among the embeddings of titles and ideas, stored in data/similar.json.

The press computes them (`press similar`, a minute, with the pretrained encoder `minilm`); the book only reads them.
"""

import hashlib
import json
from pathlib import Path

from encore import paths, register
from press import files
from press.files import PressError

FILE = Path("data") / "similar.json"
NEIGHBOURS = 6


def text(entry: register.Entry) -> str:
    """What is embedded of a paper."""
    return f"{entry.title}. {entry.idea}"


def fingerprint(entries: list[register.Entry]) -> str:
    """sha256 over the names and texts of all papers: the stored neighbours belong to it."""
    said = json.dumps(sorted((e.name, text(e)) for e in entries), ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()


def nearest(names: list[str], vectors) -> dict[str, list[str]]:
    """The NEIGHBOURS most similar other papers of each, best first. vectors: (n, d) with rows of length one, in the order of `names`."""
    likeness = vectors @ vectors.T
    likeness.fill_diagonal_(-2)  # below every cosine
    order = likeness.argsort(dim=1, descending=True, stable=True)[:, : min(NEIGHBOURS, len(names) - 1)]
    return {name: [names[j] for j in row] for name, row in zip(names, order.tolist(), strict=True)}


def write() -> None:
    """Embed every paper of the register and store its neighbours. Raises DatasetError if the encoder cannot be had."""
    from encore.nets import minilm

    entries = list(register.load_all())
    vectors = minilm.load().embed([text(e) for e in entries])
    found = {"register": fingerprint(entries), "similar": nearest([e.name for e in entries], vectors)}
    files.write_json(paths.root() / FILE, found)


def read(root: Path) -> dict[str, list[str]]:
    """Name -> similar papers, best first; empty if nothing is stored. Raises PressError for a broken file."""
    path = root / FILE
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))["similar"]
    except (ValueError, KeyError, TypeError) as e:
        raise PressError(f"{path} cannot be read ({type(e).__name__}: {e}); write it again with: press similar") from None


def problems(entries: list[register.Entry]) -> list[str]:
    """One line if the stored neighbours belong to other titles and ideas than the register's."""
    path = paths.root() / FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))["register"]
    except (OSError, ValueError, KeyError, TypeError):
        stored = None
    if stored == fingerprint(entries):
        return []
    return [f"{FILE} is missing or older than the register's titles and ideas; write it with: press similar"]
