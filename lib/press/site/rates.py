"""How many claims were reproduced, by chapter, and the published rates that this is to be read against."""

from dataclasses import dataclass

from docutils import nodes
from scipy import stats

from encore.claims import INCONCLUSIVE, NOT_TESTED, REPRODUCED
from press.site import drawing, wording
from press.site.model import Paper, Site, tally
from press.site.parts import container, link, paragraph, table

FORMATS = {"format": "html"}


@dataclass(frozen=True)
class Rate:
    """`successes` of `n` things counted, with the Wilson 95 % interval of the share."""

    label: str
    counted: str
    successes: int
    n: int

    @property
    def share(self) -> float:
        return self.successes / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high) of the Wilson score interval, 95 %."""
        return tuple(stats.binomtest(self.successes, self.n).proportion_ci(method="wilson"))


@dataclass(frozen=True)
class Published(Rate):
    """A rate from the literature: its entry in book/references.bib, its short name, and the percentage where no count is given."""

    key: str
    source: str
    given: str = ""


PUBLISHED = (
    Published("Papers, from the text alone", "papers", round(0.635 * 255), 255, "raff2019step", "Raff 2019", "63.5 %"),
    Published("Papers, at least in part", "papers", 6 + 5, 22, "gundersen2025unreasonable", "Gundersen 2025"),
    Published("Papers, fully", "papers", 6, 22, "gundersen2025unreasonable", "Gundersen 2025"),
    Published("Notebooks that ran", "notebooks", round(0.2411 * 863_878), 863_878, "pimentel2019large", "Pimentel 2019", "24.11 %"),
    Published("Notebooks, same results", "notebooks", round(0.0403 * 863_878), 863_878, "pimentel2019large", "Pimentel 2019", "4.03 %"),
)


def ours(label: str, papers: list[Paper]) -> Rate | None:
    """Claims reproduced of the claims that were tested; None if none was. Inconclusive ones count as tested and not as reproduced."""
    counts = tally(papers)
    tested = sum(n for v, n in counts.items() if v != NOT_TESTED)
    return Rate(label, "claims", counts[REPRODUCED], tested) if tested else None


def percent(share: float, n: int) -> str:
    """A share of `n` in per cent, with as many digits as `n` can carry."""
    return f"{100 * share:.{0 if n < 10_000 else 2}f}\N{NO-BREAK SPACE}%"


def build(site: Site, docname: str, cite) -> list[nodes.Node]:
    """The summary: a sentence, the drawing, and the same numbers as a table. cite(key): nodes that cite an entry of the bibliography."""
    total = ours("All chapters", site.published)
    if total is None:
        return [paragraph("No claim has been tested yet.")]
    by_chapter = [(c, r) for c in site.chapters if (r := ours(c.title, site.of_chapter(c.id)))]
    counts = tally(site.published)
    low, high = total.interval
    said = (
        f"{total.successes} of {wording.count(total.n, 'tested claim')} reproduced, {percent(total.share, total.n)} "
        f"(95 % interval {percent(low, total.n)} to {percent(high, total.n)}), {counts[INCONCLUSIVE]} inconclusive."
    )
    if left := counts[NOT_TESTED]:
        said += f" {wording.count(left, 'claim')} could not be tested and {'is' if left == 1 else 'are'} left out here."
    groups = [
        ("Encore: claims reproduced, of those tested", [_row(r) for r in (total, *(r for _, r in by_chapter))]),
        ("Published rates, of other things counted", [_row(p, f"{p.label} ({p.source})", ours=False) for p in PUBLISHED]),
    ]
    chart = drawing.rates(groups, "Claims reproduced by chapter, beside published replication rates", said)
    rows = [_cells([paragraph(total.label)], total)]
    rows += [_cells([paragraph(link(c.docname, c.title, docname))], r) for c, r in by_chapter]
    rows += [
        _cells([paragraph(p.label, ", ", *cite(p.key))], p, p.given and f"given as {p.given}".replace(" %", "\N{NO-BREAK SPACE}%"))
        for p in PUBLISHED
    ]
    numbers = table(["What", "Counted", "Succeeded", "Share", "Wilson 95 % interval"], rows, ["encore-rates-table"])
    return [
        paragraph(said, classes=["encore-lead"]),
        container(nodes.raw("", chart, **FORMATS), classes=["encore-chart"]),
        nodes.raw("", '<details class="encore-numbers"><summary>The numbers as a table, with sources</summary>', **FORMATS),
        numbers,
        nodes.raw("", "</details>", **FORMATS),
    ]


def _row(r: Rate, label: str | None = None, ours: bool = True) -> drawing.Row:
    return drawing.Row(label or r.label, f"{percent(r.share, r.n)} of {r.n:,}", r.share, *r.interval, ours)


def _cells(what: list[nodes.Node], r: Rate, succeeded: str = ""):
    low, high = r.interval
    words = [f"{r.n:,} {r.counted}", succeeded or f"{r.successes:,}", percent(r.share, r.n), f"{percent(low, r.n)} to {percent(high, r.n)}"]
    return [what, *([paragraph(w)] for w in words)], []
