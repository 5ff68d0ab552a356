"""Drawings made with the page as inline SVG: an interval against its rule, and rates on a common axis. The style sheet colours them."""

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from encore import page
from press.site.parts import slug

WIDTH, HEIGHT = 200, 34
PAD = 0.12
"""Free space at both ends of a scale, as a share of what is drawn."""
GLYPH = 6.2
"""Pixels that a letter takes at the size of the labels, on the wide side."""


def accepted(kind: str, rule: dict[str, Any]) -> tuple[float, float]:
    """The values that a rule accepts, (low, high) in the unit of the test; an open side is infinite. See `encore.claims`."""
    if kind == "exact":
        return -math.inf, rule["tol"]
    if kind == "bound":
        return -math.inf, rule["slack"]
    if kind == "higher":
        return rule["margin"], math.inf
    if kind == "lower":
        return -math.inf, rule["margin"]
    if kind == "trend":
        return (0.0, math.inf) if rule["direction"] == "increasing" else (-math.inf, 0.0)
    if kind == "rate":
        return tuple(rule["band"])
    return -rule["tol"], rule["tol"]


def _label(kind: str, rule: dict[str, Any]) -> str:
    number = page.number
    if kind == "exact":
        return f"tolerance {number(rule['tol'])}"
    if kind == "bound":
        return "limit"
    if kind in ("higher", "lower"):
        return f"margin {number(rule['margin'])}"
    if kind == "trend":
        return "no trend"
    if kind == "rate":
        return f"band {number(rule['band'][0])} to {number(rule['band'][1])}"
    return f"target ± {number(rule['tol'])}"


def _position(low: float, high: float, test: dict[str, Any]) -> str:
    """In words what the drawing shows, for those who do not see it."""
    what = "value" if test["low"] is None else "interval"
    a, b = (test["value"],) * 2 if test["low"] is None else (test["low"], test["high"])
    if low <= a and b <= high:
        return f"The {'whole ' * (what == 'interval')}{what} lies within the accepted range."
    return f"The {what} {'lies outside' if b < low or a > high else 'reaches across the edge of'} the accepted range."


class _Scale:
    """Positions on the drawing; errors of an identity, which span powers of ten, on logarithms."""

    def __init__(self, marks: list[float], log: bool):
        self.log = log
        if log:
            self.floor = min(m for m in marks if m > 0) / 10
            marks = [self.to(m) for m in marks]
        low, high = min(marks), max(marks)
        span = (high - low) or abs(high) or 1.0
        self.low, self.span = low - PAD * span, (1 + 2 * PAD) * span

    def to(self, x: float) -> float:
        return math.log10(max(x, self.floor)) if self.log else x

    def __call__(self, x: float) -> float:
        return min(max(round(WIDTH * (self.to(x) - self.low) / self.span, 1), 0.0), float(WIDTH)) if math.isfinite(x) else WIDTH * (x > 0)


def interval(test: dict[str, Any], rule: dict[str, Any], name: str) -> str:
    """A measured value with its interval against what the rule accepts: SVG, or nothing for a test without a value.

    test: kind, verdict, value, low, high; rule: with its defaults; name: unique on the page. Each drawing has a scale of its own.
    """
    if test["value"] is None:
        return ""
    kind, (low, high) = test["kind"], accepted(test["kind"], rule)
    edges = [e for e in (low, high) if math.isfinite(e)]
    ends = [] if test["low"] is None else [test["low"], test["high"]]
    log = kind == "exact"
    at = _Scale([test["value"], *ends, *edges], log)
    label = _label(kind, rule)
    half = len(label) * GLYPH / 2
    middle = round(min(max(sum(map(at, edges)) / len(edges), half), WIDTH - half), 1)
    marks = "".join(f"M{at(e)} 1V19" for e in edges)
    bar = f'<path class="i" d="M{at(ends[0])} 5V15M{at(ends[0])} 10H{at(ends[1])}M{at(ends[1])} 5V15"/>' if ends else ""
    return (
        f'<svg class="encore-interval is-{slug(test["verdict"])}" role="img" aria-labelledby="{name}t {name}d" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f'<title id="{name}t">{html.escape(label[0].upper() + label[1:])}{" (logarithmic scale)" * log}</title>'
        f'<desc id="{name}d">{_position(low, high, test)}</desc>'
        f'<rect class="a" x="{at(low)}" y="1" width="{round(at(high) - at(low), 1)}" height="18"/><path class="e" d="{marks}"/>'
        f'{bar}<circle cx="{at(test["value"])}" cy="10" r="3.5"/><text x="{middle}" y="31">{html.escape(label)}</text></svg>'
    )


@dataclass(frozen=True)
class Row:
    """One rate of a drawing: shares in [0, 1] with the ends of the interval; `ours` decides the mark."""

    label: str
    counted: str
    value: float
    low: float
    high: float
    ours: bool


CHART, ROW, LEFT, RIGHT = 420, 40, 8, 412


def rates(groups: Iterable[tuple[str, list[Row]]], title: str, description: str) -> str:
    """Rates with their intervals on one axis from 0 to 100 %, in headed groups: SVG. Words stand above their bar, to fit a phone."""

    def x(share: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * share, 1)

    body, y = [], 4
    for heading, rows in groups:
        y += 20
        body.append(f'<text class="h" x="{LEFT}" y="{y}">{html.escape(heading)}</text>')
        top = y + 6
        y = top + ROW * len(rows)
        grid = "".join(f"M{x(k / 4)} {top}V{y}" for k in range(5))
        body.append(f'<path class="g" d="{grid}"/>')
        for k, r in enumerate(rows):
            base, line = top + ROW * k + 16, top + ROW * k + 29
            mark = (
                f'<circle class="o" cx="{x(r.value)}" cy="{line}" r="5"/>'
                if r.ours
                else f'<path class="p" d="M{x(r.value)} {line - 6}l6 6l-6 6l-6-6z"/>'
            )
            body.append(
                f'<text x="{LEFT}" y="{base}">{html.escape(r.label)}</text>'
                f'<text class="n" x="{RIGHT}" y="{base}">{html.escape(r.counted)}</text>'
                f'<path class="{"i" if r.ours else "j"}" d="M{x(r.low)} {line}H{x(r.high)}"/>{mark}'
            )
        y += 16
        body += [f'<text class="t t{k}" x="{x(k / 4)}" y="{y}">{25 * k}{" %" * (k == 4)}</text>' for k in range(5)]
        y += 10
    return (
        f'<svg class="encore-rates" role="img" aria-labelledby="rates-t rates-d" viewBox="0 0 {CHART} {y}" width="{CHART}" height="{y}">'
        f'<title id="rates-t">{html.escape(title)}</title><desc id="rates-d">{html.escape(description)}</desc>{"".join(body)}</svg>'
    )
