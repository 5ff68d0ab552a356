"""environment.yml, generated from requirements.lock for readers who use conda."""

from encore import paths


def environment() -> str:
    """The text of environment.yml: Python 3.11 from conda, every package of the lock from pip."""
    lock = (paths.root() / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lock if line and not line.startswith("#")]
    head = [
        "# Generated from requirements.lock by `press environment`; do not edit.",
        "name: encore",
        "channels: [conda-forge]",
        "dependencies:",
    ]
    return "\n".join([*head, "  - python=3.11", "  - pip", "  - pip:", *(f"      - {p}" for p in pins)]) + "\n"
