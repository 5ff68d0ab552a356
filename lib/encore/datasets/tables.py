"""Tables as NumPy arrays. Every loader takes the verified files, name -> path, and returns name -> array."""

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np


def _text(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")


def digits(files: dict[str, Path], *, file: str) -> dict[str, np.ndarray]:
    """8x8 digits, one row of 64 values and the label."""
    rows = np.loadtxt(io.StringIO(_text(files[file])), delimiter=",")
    return {"images": rows[:, :-1].reshape(-1, 8, 8), "labels": rows[:, -1].astype(np.int64)}


def classes(files: dict[str, Path], *, file: str, features: list[str]) -> dict[str, Any]:
    """A csv whose first line is `rows,columns,class name, ...` and whose last column is the class."""
    text = _text(files[file])
    rows = np.loadtxt(io.StringIO(text), delimiter=",", skiprows=1)
    return {
        "features": rows[:, :-1],
        "labels": rows[:, -1].astype(np.int64),
        "feature_names": list(features),
        "class_names": text.splitlines()[0].split(",")[2:],
    }


def regression(files: dict[str, Path], *, features_file: str, target_file: str, features: list[str]) -> dict[str, Any]:
    """Features and target from two whitespace-separated files, in their own units."""
    return {
        "features": np.loadtxt(io.StringIO(_text(files[features_file]))),
        "target": np.loadtxt(io.StringIO(_text(files[target_file]))),
        "feature_names": list(features),
    }


def interactions(files: dict[str, Path], *, ratings: str, items: str) -> dict[str, Any]:
    """Rated interactions in the file's order, with 0-based users and items; titles, years and genres by item.

    Both files are tab-separated with a header; the ids of users and items count from 1 and item `i` is row `i - 1` of `items`.
    """
    rows = np.loadtxt(files[ratings], delimiter="\t", skiprows=1)
    with files[items].open(encoding="utf-8", newline="") as f:
        table = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    table.sort(key=lambda r: int(r[0]))
    return {
        "user": rows[:, 0].astype(np.int64) - 1,
        "item": rows[:, 1].astype(np.int64) - 1,
        "rating": rows[:, 2].astype(np.float32),
        "timestamp": rows[:, 3].astype(np.int64),
        "titles": [r[1] for r in table],
        "years": np.array([int(r[2]) if r[2].isdigit() else 0 for r in table]),
        "genres": [r[3] for r in table],
    }
