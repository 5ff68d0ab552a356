"""Two-class tables as NumPy arrays: numbers as they are, one 0/1 column per category. Loaders take the verified files, name -> path."""

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np


def table(files: dict[str, Path], *, file: str, label: str, positive: str) -> dict[str, Any]:
    """A csv with a header. The column `label` is the class, 1 where it reads `positive`; the other columns are features."""
    names, *rows = _rows(files[file])
    at = names.index(label)
    features, feature_names = encode([r[:at] + r[at + 1 :] for r in rows], names[:at] + names[at + 1 :])
    return {"features": features, "labels": _labels(file, [r[at] for r in rows], [positive]), "feature_names": feature_names}


def collection(files: dict[str, Path], *, positive: dict[str, list[str]]) -> dict[str, Any]:
    """Several csv files without header, `<name>.dat`, the class in the last column. positive: the values that mean 1, by name.

    Returns <name>_features, <name>_labels and <name>_feature_names for every name; columns are called x1, x2, ...
    """
    out = {}
    for name, values in positive.items():
        rows = _rows(files[f"{name}.dat"])
        features, feature_names = encode([r[:-1] for r in rows], [f"x{k}" for k in range(1, len(rows[0]))])
        labels = _labels(f"{name}.dat", [r[-1] for r in rows], values)
        out |= {f"{name}_features": features, f"{name}_labels": labels, f"{name}_feature_names": feature_names}
    return out


def encode(rows: list[list[str]], names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Rows of text -> features (n, d) float64 and d names.

    A column in which every value is a number stays one column. Any other column becomes one 0/1 column per distinct value, in sorted
    order, called `name=value`; a missing value that the file writes as `?` is such a value.
    """
    columns, out_names = [], []
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        values = np.array(values)
        try:
            columns.append(values.astype(float)[:, None])
            out_names.append(name)
        except ValueError:
            categories, place = np.unique(values, return_inverse=True)
            columns.append(np.eye(len(categories))[place])
            out_names += [f"{name}={c}" for c in categories]
    return np.concatenate(columns, 1), out_names


def _rows(path: Path) -> list[list[str]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    return [[value.strip() for value in row] for row in csv.reader(text.splitlines()) if row]


def _labels(file: str, values: list[str], positive: list[str]) -> np.ndarray:
    """(n,) int64, 1 for the values in `positive`. Raises ValueError if that leaves one class."""
    labels = np.isin(values, positive).astype(np.int64)
    if not 0 < labels.sum() < len(labels):
        raise ValueError(
            f"{file}: all {len(labels)} rows fall into one class; `positive`, {positive}, must name values of the class column"
        )
    return labels
