"""Exercises in the book: sphinx-exercise's blocks, numbered within their page."""

from docutils import nodes
from sphinx_exercise.directive import ExerciseDirective


class Exercise(ExerciseDirective):
    """`{exercise}` as sphinx-exercise has it, but called Exercise 1, 2, ... on every page; the extension counts through the whole book."""

    def run(self) -> list[nodes.Node]:
        self.options["nonumber"] = None
        found = super().run()
        registry = self.env.sphinx_exercise_registry
        number = sum(x["docname"] == self.env.docname and x["type"] == self.name for x in registry.values())
        for node in (*found, *(registry[n["label"]]["node"] for n in found)):
            heading, content = node.children
            heading[0] = nodes.Text(f"{heading[0]} {number}")
            node[1:] = content.children  # without its section, which would have the same id on every exercise of a page
        for node in found:
            _detach(registry[node["label"]]["node"])
        return found


def _detach(node: nodes.Element) -> None:
    """Let go of the page that a stored copy came from: the environment is written, read and sent between processes with all it holds."""
    for part in node.findall():
        part._document = None


def setup(app) -> None:
    app.add_directive(Exercise.name, Exercise, override=True)
