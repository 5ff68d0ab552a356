"""Data sets and pretrained weights by name, with their provenance.

    d = datasets.load("mnist")
    d["train_images"]        # uint8 (60000, 28, 28)
    page.say(d.provenance)   # title, source, licence, citation: one Markdown sentence

`data/datasets.yml` lists every id with its arrays. `catalogue` reads that file, `sources` makes a file local and verifies it, and one
module per kind (`images`, `tables`, `text`, `weights`) turns files into arrays.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from encore.datasets import catalogue, sources
from encore.datasets.catalogue import DatasetError

__all__ = ["Dataset", "DatasetError", "fetch", "load"]


@dataclass(frozen=True)
class Dataset:
    """What `load` returns. `arrays` maps names to NumPy arrays, state dicts, strings, lists of strings or verified paths."""

    id: str
    arrays: Mapping[str, Any]
    provenance: str

    def __getitem__(self, name: str) -> Any:
        """The array called `name`. Raises KeyError that lists the names."""
        if name not in self.arrays:
            raise KeyError(f"data set {self.id!r} has no array {name!r}; it has {', '.join(self.arrays)}")
        return self.arrays[name]


def fetch(id: str) -> dict[str, Path]:
    """Make the files of a data set local and verified; name -> path. Raises DatasetError, which names the file and the remedy."""
    return sources.local(catalogue.get(id))


def load(id: str) -> Dataset:
    """Arrays and provenance of a data set of `data/datasets.yml`; fresh, writable arrays on every call.

    Raises DatasetError for an unknown id (with near names), a file that cannot be fetched, a wrong hash.
    """
    entry = catalogue.get(id)
    arrays = loader(entry)(sources.local(entry), **entry.args)
    return Dataset(id, MappingProxyType(arrays), entry.provenance)


def loader(entry: catalogue.Entry):
    """The function that turns an entry's files into arrays. Raises DatasetError if the catalogue names one that does not exist."""
    module, name = entry.loader.split(".")
    try:
        return getattr(importlib.import_module(f"encore.datasets.{module}"), name)
    except (ModuleNotFoundError, AttributeError) as e:
        raise DatasetError(f"{entry.id}: data/datasets.yml names the loader {entry.loader!r}, which does not exist ({e})") from None
