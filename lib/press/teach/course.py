"""Courses: `data/courses/<slug>.yml`, weeks of papers with their exercises. Nothing here knows notebooks' outputs or Sphinx."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from encore import paths, register
from press import exercises, files, pair
from press.exercises import Exercise
from press.files import PressError
from press.site import model

FOLDER = "data/courses"

_Text = Annotated[str, Field(min_length=3)]
_Texts = Annotated[list[_Text], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeekPlan(_Strict):
    """A week as its file has it. `exercises` are labels; without the field it is every exercise of the week's pages.

    `minutes` is a student's work: reading, running and the exercises.
    """

    title: _Text
    goals: _Texts
    pages: list[str] = Field(min_length=1)
    exercises: list[str] | None = None
    minutes: int = Field(gt=0, le=600)


class Plan(_Strict):
    """A course as its file has it."""

    title: _Text
    audience: _Text
    prerequisites: _Texts
    goals: _Texts
    weeks: list[WeekPlan] = Field(min_length=1)


@dataclass(frozen=True)
class Week:
    """A week of a course: its plan, and its papers; those whose page has been run are in the editions, the others are planned."""

    number: int
    plan: WeekPlan
    papers: tuple[register.Entry, ...]
    published: tuple[register.Entry, ...]

    @property
    def planned(self) -> bool:
        """True if none of its papers has a page yet."""
        return not self.published

    @cached_property
    def exercises(self) -> list[tuple[register.Entry, Exercise]]:
        """The week's exercises on published pages, in the order of its pages."""
        every = [(e, x) for e in self.published for x in exercises.read(pair.read_source(e.name).cells)]
        return [(e, x) for e, x in every if self.plan.exercises is None or x.label in self.plan.exercises]


@dataclass(frozen=True)
class Course:
    slug: str
    plan: Plan
    weeks: tuple[Week, ...]

    @property
    def title(self) -> str:
        return self.plan.title

    @property
    def minutes(self) -> int:
        """A student's work in the weeks that can be taught now."""
        return sum(w.plan.minutes for w in self.weeks if not w.planned)

    @cached_property
    def pages(self) -> list[tuple[int, register.Entry]]:
        """(first week, entry) of every published page, in the order of the weeks."""
        first: dict[str, tuple[int, register.Entry]] = {}
        for w in self.weeks:
            for e in w.published:
                first.setdefault(e.name, (w.number, e))
        return list(first.values())


def places(root: Path) -> list[Path]:
    """The files of all courses below `root`."""
    return sorted((root / FOLDER).glob("*.yml"))


def load(root: Path | None = None) -> list[Course]:
    """All courses, the longest that can be taught first.

    Raises PressError listing, one line each, every course that does not fit its form or the register.
    """
    root = root or paths.root()
    courses, wrong = [], []
    for path in places(root):
        try:
            courses.append(_read(root, path))
        except PressError as e:
            wrong.append(str(e))
    if wrong:
        raise PressError("\n".join(wrong))
    return sorted(courses, key=lambda c: (-c.minutes, c.slug))


def problems() -> list[str]:
    """What is wrong with the courses, one line each."""
    try:
        load()
    except PressError as e:
        return str(e).splitlines()
    return []


def _read(root: Path, path: Path) -> Course:
    where = path.relative_to(root)
    try:
        plan = Plan(**(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    except ValidationError as e:
        first = e.errors()[0]
        raise PressError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (yaml.YAMLError, TypeError) as e:
        raise PressError(f"{where}: a course is a mapping of fields: {' '.join(str(e).split())}") from None
    weeks = []
    for n, w in enumerate(plan.weeks, 1):
        try:
            papers = tuple(register.load(name) for name in w.pages)
        except register.RegisterError as e:
            raise PressError(f"{where}: week {n}: {e}") from None
        if unnamed := [name for name, e in zip(w.pages, papers, strict=True) if name != e.name]:
            raise PressError(f"{where}: week {n}: write chapter/slug, not {unnamed[0]!r}")
        weeks.append(Week(n, w, papers, tuple(e for e in papers if model.is_published(root, e) and files.source(e.name).is_file())))
    course = Course(path.stem, plan, tuple(weeks))
    for w in course.weeks:
        known = {x.label for _, x in w.exercises}
        planned = {e.slug for e in w.papers if e not in w.published}
        for label in w.plan.exercises or []:
            if label not in known and label.rpartition("-ex")[0] not in planned:
                raise PressError(f"{where}: week {w.number}: no exercise {label!r} on {', '.join(w.plan.pages)}; name one of theirs")
    return course
