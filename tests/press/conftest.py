"""A small compendium of its own for every test."""

import os

import pytest
from lab import Compendium

from encore import register


@pytest.fixture
def compendium(tmp_path, monkeypatch):
    monkeypatch.setenv("ENCORE_ROOT", str(tmp_path))
    monkeypatch.delenv("ENCORE_RESULTS", raising=False)
    before = dict(os.environ)
    register.load_all.cache_clear()
    yield Compendium(tmp_path)
    register.load_all.cache_clear()
    os.environ.clear()
    os.environ.update(before)
