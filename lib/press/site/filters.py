"""The filter form of the gallery and the scoreboard.

It is made with the page and hidden; encore.js shows it, keeps the choice in the address, and hides what does not fit. Without the script
everything is listed. What a form filters carries its values as classes, `<field>-<value>`.
"""

import html
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from docutils import nodes

Values = dict[str, set[str]]
"""What an item says of itself: field name -> values, each a word without spaces."""


@dataclass(frozen=True)
class Field:
    """One choice: its name in the address, its label, and groups of (value, words) in reading order; the group "" has no heading."""

    name: str
    label: str
    groups: dict[str, list[tuple[str, str]]]


def classes(values: Values) -> list[str]:
    """An item's values as CSS classes, sorted."""
    return sorted(f"{name}-{v}" for name, found in values.items() for v in found)


def form(fields: Iterable[Field], items: list[Values], select: str, noun: str, groups: str = "") -> nodes.raw:
    """The form.

    items: the values of everything that can be shown; an option that nothing has is left out, the others say how many have it.
    select, groups: CSS selectors of the items, and of the parts of the page that are hidden when none of their items is shown.
    """
    controls = "".join(_select(f, Counter(v for i in items for v in i.get(f.name, ()))) for f in fields)
    data = f'data-items="{html.escape(select)}" data-groups="{html.escape(groups)}" data-noun="{html.escape(noun)}"'
    return nodes.raw(
        "",
        f'<form class="encore-filter" role="search" aria-label="Choose {html.escape(noun)}" autocomplete="off" {data} hidden>'
        f'<label>Search<input type="search" name="search"></label>{controls}'
        '<div><output aria-live="polite"></output><button type="reset">Show all</button></div></form>',
        format="html",
    )


def _select(field: Field, used: Counter) -> str:
    options = '<option value="">all</option>'
    for group, choices in field.groups.items():
        found = "".join(f'<option value="{v}">{html.escape(words)} ({used[v]})</option>' for v, words in choices if used[v])
        options += f'<optgroup label="{html.escape(group)}">{found}</optgroup>' if group and found else found
    return f'<label>{html.escape(field.label)}<select name="{field.name}">{options}</select></label>'
