"""`press teach`: courses made of pages, each in a student's edition and an instructor's."""

from press.teach.bundle import write
from press.teach.course import Course, Week, load, problems

__all__ = ["Course", "Week", "load", "problems", "write"]
