"""Pretrained weights. Torch checkpoints are read with `weights_only=True`; no file is unpickled freely.

Every loader takes the verified files, name -> path, and returns name -> state dict, list of str or path.
"""

from pathlib import Path
from typing import Any

import torch


def torch_state(files: dict[str, Path], *, key: str | None = None, strip: str = "", **models: str) -> dict[str, Any]:
    """State dicts on the CPU, named by the remaining arguments; `key` is their place in the checkpoint, `strip` a prefix to drop."""
    out = {}
    for model, name in models.items():
        loaded = torch.load(files[name], map_location="cpu", weights_only=True)
        state = loaded if key is None else loaded[key]
        out[model] = {k.removeprefix(strip): v for k, v in state.items()}
    return out


def sentence_encoder(files: dict[str, Path]) -> dict[str, Any]:
    """A BERT encoder: state dict, WordPiece vocabulary in the order of its ids, paths of the configuration and the tokenizer."""
    from safetensors.torch import load_file

    return {
        "state": load_file(files["model.safetensors"]),
        "vocabulary": files["vocab.txt"].read_text(encoding="utf-8").split("\n")[:-1],
        "config": files["config.json"],
        "tokenizer": files["tokenizer.json"],
    }


def paths(files: dict[str, Path], **names: str) -> dict[str, Path]:
    """Verified paths, under the names of the arguments, for a library that reads the file itself."""
    return {array: files[name] for array, name in names.items()}
