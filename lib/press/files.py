"""Where a page's files lie, and how they are written: whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from encore import paths


class PressError(RuntimeError):
    """Something a person has to mend; the message names the page and the remedy."""


def source(name: str) -> Path:
    """The page's script, notebooks/<chapter>/<slug>.py."""
    return paths.root() / "notebooks" / f"{name}.py"


def notebook(name: str) -> Path:
    """The executed page, notebooks/<chapter>/<slug>.ipynb."""
    return paths.root() / "notebooks" / f"{name}.ipynb"


def result(name: str) -> Path:
    """What the last book run measured, data/results/<chapter>/<slug>.json."""
    return paths.root() / "data" / "results" / f"{name}.json"


def build() -> Path:
    """Everything that is not committed: _build."""
    return paths.root() / "_build"


def write(path: Path, text: str) -> None:
    """Write `text` atomically: a reader, or a crash, sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    write(path, compact_json(value) + "\n")


def compact_json(value: Any, indent: int = 1) -> str:
    """JSON with one line per field but number lists on one line, so that diffs of results stay readable."""

    def plain(v):
        return not isinstance(v, dict) and (not isinstance(v, list) or all(plain(x) for x in v))

    def dump(v, level):
        pad, end = " " * indent * (level + 1), " " * indent * level
        if isinstance(v, dict) and v:
            return (
                "{\n"
                + ",\n".join(f"{pad}{json.dumps(str(k), ensure_ascii=False)}: {dump(x, level + 1)}" for k, x in v.items())
                + f"\n{end}}}"
            )
        if isinstance(v, list) and v and not plain(v):
            return "[\n" + ",\n".join(pad + dump(x, level + 1) for x in v) + f"\n{end}]"
        return json.dumps(v, ensure_ascii=False, allow_nan=False)

    return dump(value, 0)


def read_result(name: str) -> dict[str, Any] | None:
    """The stored result of a page, None if there is none. Raises PressError for a broken file."""
    path = result(name)
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise PressError(f"{path} is not valid JSON ({e}); run the page again: press run {name} --force") from None
