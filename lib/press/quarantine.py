"""Known failures: data/quarantine.yml, each with a reason and the day it expires. There is no other skip list."""

import datetime

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from encore import paths, register
from press.files import PressError


class Case(BaseModel):
    """A page that may fail validation until a day; afterwards the entry itself is the failure."""

    model_config = ConfigDict(extra="forbid")
    page: str
    reason: str
    until: datetime.date


def load() -> list[Case]:
    """All cases. Raises PressError for a broken file, an unknown page, a missing reason or an expired date."""
    path = paths.root() / "data" / "quarantine.yml"
    try:
        cases = [Case(**c) for c in yaml.safe_load(path.read_text()) or []] if path.is_file() else []
    except (yaml.YAMLError, ValidationError, TypeError) as e:
        raise PressError(f"{path}: each case is {{page, reason, until: YYYY-MM-DD}} ({str(e).splitlines()[0]})") from None
    for c in cases:
        if c.page not in register.names():
            raise PressError(f"{path}: no page {c.page!r} in the register")
        if not c.reason.strip():
            raise PressError(f"{path}: {c.page} has no reason")
        if c.until < datetime.date.today():
            raise PressError(f"{path}: the quarantine of {c.page} expired on {c.until}: mend the page, or say anew why not ({c.reason})")
    return cases


def names() -> set[str]:
    return {c.page for c in load()}
