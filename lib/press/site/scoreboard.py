"""The scoreboard: the table of all claims, and the same as JSON and CSV files beside it."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from docutils import nodes

from encore import page
from press.site import model, wording
from press.site.model import Site
from press.site.parts import badge, code, inline, link, paragraph, slug, table, title

DOCNAME = "book/scoreboard"
HEAD = ["Paper", "Claim", "Kind", "In the paper", "Ours, with 95 % interval", "n", "Verdict"]
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
    "date",
]


def url(env, verdict: str) -> str:
    """Address of the scoreboard filtered by a verdict, from the document being read."""
    return f"{env.app.builder.get_relative_uri(env.docname, DOCNAME)}?verdict={slug(verdict)}"


def build(site: Site, docname: str) -> list[nodes.Node]:
    rows = [_row(r, site, docname) for r in model.scoreboard(site)]
    files = paragraph(
        f"{wording.count(len(rows), 'claim')} of {wording.count(len(site.published), 'page')}. The same rows as files: ",
        nodes.reference("", "scoreboard.json", refuri="scoreboard.json", internal=True),
        ", ",
        nodes.reference("", "scoreboard.csv", refuri="scoreboard.csv", internal=True),
        ".",
    )
    return [files, *([table(HEAD, rows, ["encore-scoreboard"])] if rows else [])]


def _row(r: dict[str, Any], site: Site, docname: str):
    chapter = site.chapter(r["chapter"])
    ours = [paragraph(*([inline(f"{t['name']}: ", classes=["encore-label"])] if t["name"] else []), page.ours(t)) for t in r["tests"]]
    cells = [
        [
            paragraph(link(f"notebooks/{r['page']}", title(r["title"]), docname)),
            paragraph(link(chapter.docname, chapter.title, docname), classes=["encore-small"]),
        ],
        [paragraph(code(r["claim"])), paragraph(r["says"])],
        [paragraph(r["kind"])],
        [paragraph(r["paper"] or "not stated")],
        [*ours, paragraph(r["detail"], classes=["encore-small"])],
        [paragraph(", ".join(map(str, dict.fromkeys(t["n"] for t in r["tests"] if t["n"]))) or "–")],
        [paragraph(badge(r["verdict"]))],
    ]
    return cells, [f"verdict-{slug(r['verdict'])}", f"chapter-{r['chapter']}", f"kind-{r['kind']}"]


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
