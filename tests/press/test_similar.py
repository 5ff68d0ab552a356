"""Similar papers: the nearest of random vectors, what is stored, and when it is stale or broken."""

import json

import numpy as np
import pytest
import torch

from encore import register
from encore.nets import minilm
from press import similar
from press.files import PressError


def entries():
    return list(register.load_all())


@pytest.mark.parametrize(("n", "seed"), [(2, 0), (5, 1), (similar.NEIGHBOURS + 1, 2), (40, 3), (120, 4)])
def test_the_nearest_are_those_of_brute_force(n, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = [f"p{k}" for k in rng.permutation(n)]
    found = similar.nearest(names, torch.from_numpy(rows))
    assert list(found) == names
    for i, name in enumerate(names):
        others = sorted((j for j in range(n) if j != i), key=lambda j: -sum(a * b for a, b in zip(rows[i], rows[j], strict=True)))
        assert found[name] == [names[j] for j in others[: similar.NEIGHBOURS]]


def test_nobody_is_its_own_neighbour_even_among_opposites():
    assert similar.nearest(["a", "b"], torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == {"a": ["b"], "b": ["a"]}


def test_written_neighbours_are_read_and_go_stale_with_a_title_or_an_idea(compendium, monkeypatch):
    class Encoder:
        def embed(self, texts):
            assert texts[0] == "Ants. An idea."
            return torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]]), dim=-1)

    monkeypatch.setattr(minilm, "load", Encoder)
    for slug, title in (("a", "Ants"), ("b", "Bees"), ("c", "Cars")):
        compendium.add(slug, title=title)
    assert similar.read(compendium.root) == {}
    assert len(similar.problems(entries())) == 1
    similar.write()
    assert similar.read(compendium.root) == {"lab/a": ["lab/b", "lab/c"], "lab/b": ["lab/a", "lab/c"], "lab/c": ["lab/b", "lab/a"]}
    assert similar.problems(entries()) == []
    compendium.add("c", title="Cars", year=1999)
    assert similar.problems(entries()) == [], "a year is not embedded"
    for change in ({"title": "Carts"}, {"title": "Cars", "idea": "Another idea."}):
        compendium.add("c", **change)
        (problem,) = similar.problems(entries())
        assert "press similar" in problem
    compendium.add("c", title="Cars")
    assert similar.problems(entries()) == []
    compendium.add("d", title="Dogs")
    assert len(similar.problems(entries())) == 1


@pytest.mark.parametrize("text", ["{", "[]", "{}", "null"])
def test_a_broken_file_names_the_remedy(compendium, text):
    compendium.add("a")
    (compendium.root / similar.FILE).write_text(text)
    with pytest.raises(PressError, match=r"similar\.json cannot be read.*press similar"):
        similar.read(compendium.root)
    assert len(similar.problems(entries())) == 1


def test_the_stored_neighbours_are_papers_of_the_register():
    stored = json.loads((register.paths.root() / similar.FILE).read_text())["similar"]
    names = {e.name for e in entries()}
    assert set(stored) <= names
    for name, others in stored.items():
        assert len(set(others)) == len(others) == similar.NEIGHBOURS
        assert name not in others
        assert set(others) <= names
