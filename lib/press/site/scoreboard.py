"""The scoreboard: the table of all claims, and the same as JSON and CSV files beside it."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from docutils import nodes

from encore import page
from encore.claims import VERDICTS
from encore.register import RULES
from press.site import drawing, filters, model, wording
from press.site.model import Site
from press.site.parts import badge, code, inline, link, paragraph, slug, table, title

DOCNAME = "book/scoreboard"
HEAD = ["Paper", "Claim", "In the paper", "Ours, with 95 % interval", "n", "Time", "Verdict"]
COLUMNS = [
    "page",
    "chapter",
    "title",
    "year",
    "claim",
    "says",
    "kind",
    "paper",
    "verdict",
    "value",
    "low",
    "high",
    "n",
    "baseline",
    "detail",
    "seconds",
    "date",
]


def url(env, verdict: str) -> str:
    """Address of the scoreboard filtered by a verdict, from the document being read."""
    return f"{env.app.builder.get_relative_uri(env.docname, DOCNAME)}?verdict={slug(verdict)}"


def build(site: Site, docname: str) -> list[nodes.Node]:
    rows = model.scoreboard(site)
    if not rows:
        return [paragraph("No page has been run yet.", classes=["encore-note"])]
    files = paragraph(
        f"{wording.count(len(rows), 'claim')} of {wording.count(len(site.published), 'page')}. The same rows as files: ",
        nodes.reference("", "scoreboard.json", refuri="scoreboard.json", internal=True),
        ", ",
        nodes.reference("", "scoreboard.csv", refuri="scoreboard.csv", internal=True),
        ".",
    )
    fields = [
        filters.Field("verdict", "Verdict", {"": [(slug(v), v) for v in VERDICTS]}),
        filters.Field("chapter", "Chapter", {"": [(c.id, c.title) for c in site.chapters]}),
        filters.Field("kind", "Kind", {"": [(k, k) for k in RULES]}),
    ]
    form = filters.form(fields, [_values(r) for r in rows], "table.encore-scoreboard > tbody > tr", "claims")
    return [files, form, table(HEAD, [_row(r, k, site, docname) for k, r in enumerate(rows)], ["encore-scoreboard"])]


def _values(r: dict[str, Any]) -> filters.Values:
    return {"verdict": {slug(r["verdict"])}, "chapter": {r["chapter"]}, "kind": {r["kind"]}}


def _row(r: dict[str, Any], k: int, site: Site, docname: str):
    chapter = site.chapter(r["chapter"])
    ours = []
    for j, t in enumerate(r["tests"]):
        name = [inline(f"{t['name']}: ", classes=["encore-label"])] if t["name"] else []
        ours.append(paragraph(*name, page.ours(t), classes=["encore-ours"]))
        if drawn := drawing.interval(t, t["rule"], f"i{k}-{j}"):
            ours.append(nodes.raw("", drawn, format="html"))
    cells = [
        [
            paragraph(link(f"notebooks/{r['page']}", title(r["title"]), docname)),
            paragraph(link(chapter.docname, chapter.title, docname), classes=["encore-small"]),
        ],
        [paragraph(code(r["claim"]), " ", inline(r["kind"], classes=["encore-small"])), paragraph(r["says"])],
        [paragraph(r["paper"] or "not stated")],
        [*ours, paragraph(r["detail"], classes=["encore-small"])],
        [paragraph(", ".join(map(str, dict.fromkeys(t["n"] for t in r["tests"] if t["n"]))) or "–")],
        [paragraph(wording.seconds(r["seconds"]))],
        [paragraph(badge(r["verdict"]))],
    ]
    return cells, filters.classes(_values(r))


def as_json(site: Site) -> str:
    rows = model.scoreboard(site)
    return json.dumps({"schema": 1, "claims": rows}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(site: Site) -> str:
    """One line per claim; of a claim with several tests the first one's numbers, as in the results file."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(model.scoreboard(site))
    return out.getvalue()


def write(site: Site, out: Path) -> None:
    """Write scoreboard.json and scoreboard.csv beside the scoreboard in the built book."""
    folder = (out / DOCNAME).parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scoreboard.json").write_text(as_json(site), encoding="utf-8")
    (folder / "scoreboard.csv").write_text(as_csv(site), encoding="utf-8")
