"""`press status`: what has been run, and what is stale."""

from typing import Any

from encore import register
from press import files, state


def status(entries: list[register.Entry]) -> list[dict[str, Any]]:
    """One record per page: what it needs and why, and of its results file everything but the raw samples."""
    out = []
    for e in entries:
        s, stored = state.of(e), files.read_result(e.name) or {}
        claims = [{k: v for k, v in c.items() if k != "tests"} for c in stored.get("claims", [])]
        out.append({"name": e.name, "needs": s.needs, "why": s.why, **{k: v for k, v in stored.items() if k != "claims"}, "claims": claims})
    return out


def table(records: list[dict[str, Any]]) -> str:
    """The same for a person."""
    lines = [f"{'page':40} {'state':8} {'date':10} {'seconds':>7} {'MB':>6}  verdicts"]
    for r in records:
        words = [c["verdict"] for c in r["claims"]]
        tally = ", ".join(f"{words.count(v)} {v}" for v in dict.fromkeys(words))
        lines.append(
            f"{r['name']:40} {r['needs'] or 'fresh':8} {r.get('date', '-'):10} {r.get('seconds', 0):7.1f} {r.get('peak_mb', 0):6d}  {tally}"
        )
    return "\n".join(lines)
