"""The press: runs, validates, judges and renders the pages. Never imported by a notebook."""
