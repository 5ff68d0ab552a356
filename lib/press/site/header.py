"""What a page gets that nobody types: the header below its title, from the register and the results file, and the list of cited works."""

import json

from docutils import nodes
from sphinx import addnodes

from encore.register import Entry
from press import exercises
from press.site import furniture, wording
from press.site.model import DataSet, Paper, Site
from press.site.parts import badge, bullets, code, container, external, inline, link, paragraph

DIRECTIVE = "encore-header"
CITED = "```{bibliography}\n:filter: docname in docnames\n```\n"


def prepare(notebook: str) -> str:
    """The notebook's JSON as the book shows it: the header below the title, each solution folded below its exercise's name, at the
    end the cited works and the furniture.

    Raises ValueError if the first cell is not a title.
    """
    nb = json.loads(notebook)
    prose = [c for c in nb["cells"] if c["cell_type"] == "markdown"]
    for cell in prose:
        cell["source"] = "".join(cell["source"])
    if nb["cells"][:1] != prose[:1] or not prose or not prose[0]["source"].startswith("# "):
        raise ValueError("the first cell of a page is a markdown cell with the paper's title, '# ...'")
    for exercise in exercises.read(nb["cells"]):
        for k, i in enumerate(exercise.solution):
            name = f"Solution to Exercise {exercise.number}" + (", continued" if k else "")
            nb["cells"][i]["metadata"]["mystnb"] = {"code_prompt_show": name, "code_prompt_hide": name}
    prose[0]["source"] = f"{prose[0]['source'].rstrip()}\n\n```{{{DIRECTIVE}}}\n```\n"
    written = "\n".join(c["source"] for c in prose)
    if "{cite" in written and "{bibliography}" not in written:
        prose[-1]["source"] = f"{prose[-1]['source'].rstrip()}\n\n{CITED}"
    prose[-1]["source"] = f"{prose[-1]['source'].rstrip()}\n\n```{{{furniture.DIRECTIVE}}}\n```\n"
    return json.dumps(nb)


def links(entry: Entry) -> list[nodes.Node]:
    """Links to the paper itself: arXiv and DOI, as far as the register knows them."""
    found = []
    if entry.arxiv:
        found.append(external(f"arXiv:{entry.arxiv}", f"https://arxiv.org/abs/{entry.arxiv}"))
    if entry.doi:
        found.append(external(f"doi:{entry.doi}", f"https://doi.org/{entry.doi}"))
    return found


def build(paper: Paper, site: Site, docname: str, elsewhere: dict[str, str]) -> list[nodes.Node]:
    """The header's nodes for a published paper; `elsewhere`: label -> address of places that run it."""
    e, r = paper.entry, paper.result
    chapter = site.chapter(e.chapter)
    source = [f"{wording.source(e)} "]
    for k, node in enumerate(links(e)):
        source += [", "] * bool(k) + [node]
    facts = [
        ("Chapter", [link(chapter.docname, chapter.title, docname)]),
        *(("Data", [data(d, site.datasets)]) for d in e.data),
        (
            "Measured",
            [
                f"{wording.seconds(r['seconds'])} and {r['peak_mb']} MB on one thread of {r['cpu']}, ",
                inline(r["date"], classes=["encore-nowrap"]),
                ", key ",
                code(r["key"][:12]),
            ],
        ),
    ]
    body = container(
        paragraph(*source, classes=["encore-source"]),
        bullets(([inline(f"{name}: ", classes=["encore-label"]), *value] for name, value in facts), classes=["encore-facts"]),
        bullets(([code(id), " ", badge(verdict)] for id, verdict in paper.verdicts), classes=["encore-claims"]),
        paragraph(
            _download(f"/{docname}.ipynb", "Download the notebook"),
            " ",
            _download(f"/{docname}.py", "Download the script"),
            *(x for label, url in elsewhere.items() for x in (" ", _button(label, url))),
            classes=["encore-buttons"],
        ),
        classes=["encore-header"],
    )
    return [body]


def data(id: str, datasets: dict[str, DataSet]) -> str:
    """A data set's title and licence in words; `simulator:...` and `synthetic:...` say what is generated."""
    if ":" in id:
        kind, what = id.split(":", 1)
        return f"{what} ({kind})"
    return f"{datasets[id].title}. Licence: {datasets[id].licence}" if id in datasets else id


def _button(label: str, url: str) -> nodes.reference:
    return nodes.reference("", "", inline(label), refuri=url, internal=False, classes=["encore-button"])


def _download(target: str, label: str) -> addnodes.download_reference:
    return addnodes.download_reference("", "", inline(label), reftarget=target, refdomain="", refexplicit=True, classes=["encore-button"])
