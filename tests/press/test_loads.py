"""Which data a page's code can load: by function, through aliases, classes and a second module."""

import pytest

from press import key, loads

ONE = '''
"""A base."""
from encore import datasets
from encore.bases import two
from encore.bases.two import deep as far

TABLE = datasets.load("table")


def harmless():
    return 1


def loading():
    return datasets.load("one")


def caller():
    return loading()


def constant():
    return TABLE


def indirect():
    return two.fetch()


def aliased():
    return far()


class Reader:
    def __init__(self):
        self.rows = harmless()

    def read(self):
        return self.take()

    def take(self):
        return datasets.load("read")


class Child(Reader):
    pass
'''
TWO = '''
from encore import datasets
from encore.bases import one


def fetch():
    return datasets.load("two")


def deep():
    return fetch(), one.harmless()


def around():
    return one.caller() if deep() else around()
'''


@pytest.fixture(autouse=True)
def library(tmp_path, monkeypatch):
    for name, text in {"bases/__init__": "", "bases/one": ONE, "bases/two": TWO, "datasets/__init__": ""}.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(key, "_ENCORE", tmp_path)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from encore.bases.one import harmless\nharmless()", set()),
        ("from encore.bases import one\none.harmless()", set()),
        ("from encore.bases import one", set()),
        ("from encore.bases.one import loading\nloading()", {"one"}),
        ("from encore.bases.one import loading as take\ntake()", {"one"}),
        ("from encore.bases import one as first\nfirst.loading()", {"one"}),
        ("import encore.bases.one as first\nfirst.loading()", {"one"}),
        ("import encore.bases.one\nencore.bases.one.loading()", {"one"}),
        ("import encore.bases.one\nencore.bases.one.harmless()", set()),
        ("def late():\n    from encore.bases.one import caller\n    return caller()", {"one"}),
        ("from encore.bases import one\none.constant()", {"table"}),
        ("from encore.bases import one\none.TABLE", {"table"}),
        ("from encore.bases import one\none.indirect()", {"two"}),
        ("from encore.bases import one\none.aliased()", {"two"}),
        ("from encore.bases.two import around\naround()", {"one", "two"}),
        ("from encore.bases.one import Reader\nReader().read()", {"read"}),
        ("from encore.bases import one\nx = one.Child\nx().rows", {"read"}),
        ("from encore import datasets\ndatasets.load('own')\ndatasets.load(name)", {"own", "None"}),
        ("import numpy as np\nnp.load('file')", set()),
    ],
)
def test_the_data_that_code_can_load(code, found):
    assert loads.loaded(code) == found
