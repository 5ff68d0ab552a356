"""Images as uint8 arrays. Every loader takes the verified files, name -> path, and returns name -> array."""

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def read_idx(path: Path) -> np.ndarray:
    """A gzipped idx file of unsigned bytes (the format of MNIST), any number of axes; uint8, writable."""
    raw = gzip.decompress(path.read_bytes())
    axes = raw[3]
    shape = np.frombuffer(raw, ">i4", count=axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()


def idx(files: dict[str, Path], *, train_images: str, train_labels: str, test_images: str, test_labels: str) -> dict[str, np.ndarray]:
    """Images (n, height, width) and labels (n,), both uint8; the arguments name the files.

    A train file `*.npz` holds its leading images under `images`; the labels are cut to their number.
    """
    if train_images.endswith(".npz"):
        with np.load(files[train_images], allow_pickle=False) as z:
            x = z["images"]
    else:
        x = read_idx(files[train_images])
    return {
        "train_images": x,
        "train_labels": read_idx(files[train_labels])[: len(x)],
        "test_images": read_idx(files[test_images]),
        "test_labels": read_idx(files[test_labels]),
    }


def _rgb(source) -> np.ndarray:
    """An image file (path or stream) as (height, width, 3) uint8."""
    with Image.open(source) as im:
        return np.array(im.convert("RGB"))


def jpeg_blobs(files: dict[str, Path], *, file: str) -> dict[str, Any]:
    """Small JPEGs that share one header: `header`, and per part `*_blob` (joined bodies), `*_off` (offsets), `*_y` (labels)."""
    out: dict[str, Any] = {}
    with np.load(files[file], allow_pickle=False) as z:
        header = z["header"].tobytes()
        for part in ("train", "test"):
            blob, offsets = z[f"{part}_blob"].tobytes(), z[f"{part}_off"]
            out[f"{part}_images"] = np.stack([_rgb(io.BytesIO(header + blob[a:b])) for a, b in zip(offsets[:-1], offsets[1:], strict=True)])
            out[f"{part}_labels"] = z[f"{part}_y"]
        out["class_names"] = [str(c) for c in z["classes"]]
    return out


def imagenet_zip(files: dict[str, Path], *, file: str) -> dict[str, Any]:
    """One photo per ILSVRC class from a zip of `<WordNet id>_<class_name>.jpg`; sorted, the WordNet ids are in the order of the classes."""
    with zipfile.ZipFile(files[file]) as z:
        names = sorted(z.namelist())
        images = np.stack([_rgb(io.BytesIO(z.read(n))) for n in names])
    stems = [n.removesuffix(".jpg").split("_", 1) for n in names]
    return {
        "images": images,
        "class_index": np.arange(len(names)),
        "wordnet_ids": [s[0] for s in stems],
        "class_names": [s[1].replace("_", " ") for s in stems],
    }


def photos(files: dict[str, Path]) -> dict[str, np.ndarray]:
    """One array (height, width, 3) uint8 per file, under the file's name without its ending."""
    return {Path(name).stem: _rgb(path) for name, path in files.items()}


def emoji(files: dict[str, Path]) -> dict[str, Any]:
    """32x32 RGBA tiles of both drawing styles, cut from the sheets, in the order of the metadata; text fields in the same order."""
    rows = [r for r in json.loads(files["emoji_pretty.json"].read_text(encoding="utf-8")) if r["has_img_google"] and r["has_img_twitter"]]
    out: dict[str, Any] = {}
    for style in ("google", "twitter"):
        with Image.open(files[f"{style}-32.png"]) as im:
            sheet = np.array(im.convert("RGBA"))
        corners = [(34 * r["sheet_y"] + 1, 34 * r["sheet_x"] + 1) for r in rows]  # a tile has a border of one pixel
        out[style] = np.stack([sheet[y : y + 32, x : x + 32] for y, x in corners])
    with files["openmoji.csv"].open(encoding="utf-8", newline="") as f:
        openmoji = {_code(r["hexcode"]): r for r in csv.DictReader(f)}
    described = [openmoji[_code(r["unified"])] for r in rows]
    return {
        **out,
        "names": [m["annotation"] for m in described],
        "short_names": [r["short_name"] for r in rows],
        "keywords": [m["tags"] for m in described],
        "groups": [r["category"] for r in rows],
        "subgroups": [r["subcategory"] for r in rows],
        "codes": [r["unified"] for r in rows],
    }


def _code(hexcode: str) -> str:
    """Code points without the variation selector, which the two sources place differently."""
    return "-".join(c for c in hexcode.upper().split("-") if c != "FE0F")
