"""Texts. Every loader takes the verified files, name -> path, and returns name -> text or list of str."""

from pathlib import Path
from typing import Any


def plain(files: dict[str, Path], **parts: str) -> dict[str, Any]:
    """The whole text of each file, under the names of the arguments."""
    return {part: files[name].read_text(encoding="utf-8") for part, name in parts.items()}
