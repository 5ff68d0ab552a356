"""Encore: what a notebook may import. The algorithm of a paper stands on its page; this holds what pages share.

`encore.open` starts a page; `exact` ... `not_tested` wrap what it measured; `progress` shows a bar in long loops. Everything else is
imported by name: `from encore import datasets, figures, seeds`.
"""

from encore.claims import bound, close, exact, higher, lower, not_tested, rate, trend
from encore.page import open
from encore.progress import progress

__all__ = ["bound", "close", "exact", "higher", "lower", "not_tested", "open", "progress", "rate", "trend"]
