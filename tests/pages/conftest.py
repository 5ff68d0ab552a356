"""The real book: its root, and one run of every page in smoke that all tests share."""

from pathlib import Path

import pytest

from encore import register
from press import files, run, state

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _the_real_book(monkeypatch):
    monkeypatch.setenv("ENCORE_ROOT", str(ROOT))
    register.load_all.cache_clear()


@pytest.fixture(scope="session")
def smoke():
    """The folder with every page's notebook and result of a smoke run, made once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCORE_ROOT", str(ROOT))
        register.load_all.cache_clear()
        pages = state.pages()
        assert pages, "no page in the register has status 'page'"
        assert run.run(pages, "smoke", force=True) == []
        return files.build() / "runs" / "smoke-seed0"
