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
        return found


def setup(app) -> None:
    app.add_directive(Exercise.name, Exercise, override=True)
