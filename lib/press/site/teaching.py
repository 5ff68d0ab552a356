"""The courses as the book shows them: weeks, goals, links to pages and exercises, times."""

from docutils import nodes
from sphinx import addnodes

from encore.register import Entry
from press.exercises import Exercise
from press.site import wording
from press.site.model import Site
from press.site.parts import Content, bullets, inline, link, paragraph, title
from press.teach.course import Course, Week


def build(courses: list[Course], site: Site, docname: str) -> list[nodes.Node]:
    """A section per course, with a section per week."""
    return [_course(c, site, docname) for c in courses]


def _section(name: str, label: str, *content: nodes.Node) -> nodes.section:
    return nodes.section("", nodes.title("", name), *content, ids=[label], names=[label])


def _course(course: Course, site: Site, docname: str) -> nodes.section:
    taught = [w for w in course.weeks if not w.planned]
    planned = len(course.weeks) - len(taught)
    time = f"{wording.count(len(taught), 'week')}, {wording.duration(60 * course.minutes)} of a student's work"
    if planned:
        time += f"; {wording.count(planned, 'week')} planned"
    return _section(
        course.title,
        f"course-{course.slug}",
        paragraph(course.plan.audience),
        paragraph(inline("Time: ", classes=["encore-label"]), f"{time}."),
        nodes.rubric("", "What a student needs to know"),
        bullets([[p] for p in course.plan.prerequisites]),
        nodes.rubric("", "What a student can do afterwards"),
        bullets([[g] for g in course.plan.goals]),
        *(_week(course, w, site, docname) for w in course.weeks),
    )


def _week(course: Course, week: Week, site: Site, docname: str) -> nodes.section:
    label = "Pages: " if len(week.papers) > 1 else "Page: "
    facts: list[list[Content]] = [[inline(label, classes=["encore-label"]), *_papers(week, site, docname)]]
    if homework := week.exercises:
        facts.append([inline("Exercises: ", classes=["encore-label"]), *_exercises(homework, len(week.published) > 1, docname)])
    facts.append([inline("Time: ", classes=["encore-label"]), f"{week.plan.minutes} min"])
    stage = [paragraph(inline("planned", classes=["encore-stage"]), classes=["encore-note"])] if week.planned else []
    return _section(
        f"Week {week.number}: {week.plan.title}",
        f"course-{course.slug}-week-{week.number}",
        *stage,
        bullets([[g] for g in week.plan.goals]),
        bullets(facts, classes=["encore-facts"]),
    )


def _papers(week: Week, site: Site, docname: str) -> list[Content]:
    """Links to the pages; a paper without a page leads to its chapter, which lists it as planned."""
    out: list[Content] = []
    for e in week.papers:
        out += [", "] * bool(out)
        if e in week.published:
            out += [link(f"notebooks/{e.name}", title(e.title), docname)]
        else:
            chapter = site.chapter(e.chapter)
            out += [title(e.title), " (", link(chapter.docname, "planned", docname), ")"]
    return out


def _exercises(homework: list[tuple[Entry, Exercise]], several: bool, docname: str) -> list[Content]:
    out: list[Content] = []
    for e, x in homework:
        words = f"{e.slug} {x.number}" if several else str(x.number)
        out += [", "] * bool(out) + [_exercise(x, words, docname)]
    return out


def _exercise(x: Exercise, words: str, docname: str) -> addnodes.pending_xref:
    """A link to an exercise of a page; Sphinx warns if there is none."""
    return addnodes.pending_xref(
        "", inline(words), refdomain="std", reftype="ref", reftarget=x.label, refexplicit=True, refdoc=docname, refwarn=True
    )
