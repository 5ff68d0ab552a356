"""Execute one page: papermill drives a kernel process of its own, watched for wall time and memory."""

import os
import platform
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from encore import paths, register
from press import key as keys
from press import pair
from press.warm import SERVER, kernel_environment

WATCH_S = 0.1


@dataclass
class Run:
    """What came of executing a page. `notebook` is its JSON, executed as far as it got; `problem` is empty if all went well."""

    name: str
    problem: str
    notebook: str
    seconds: float
    compute_s: float
    peak_mb: int
    cpu: str

    @property
    def ok(self) -> bool:
        return not self.problem


class _PageKernelManager(AsyncKernelManager):
    """A kernel manager whose kernel is forked from the warm server, or started cold."""

    warm = True

    @property
    def kernel_spec(self) -> KernelSpec:
        meta = {"kernel_provisioner": {"provisioner_name": "encore-warm"}} if self.warm else {}
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python", metadata=meta)


class _Watch(threading.Thread):
    """Kills the kernel when it takes too long or too much memory; remembers the peak."""

    def __init__(self, manager: _PageKernelManager, limit_s: float, memory_mb: int):
        super().__init__(daemon=True)
        self._manager, self._limit_s, self._memory_mb = manager, limit_s, memory_mb
        self._done = threading.Event()
        self.peak_mb, self.killed_for = 0, ""

    def run(self) -> None:
        start = time.monotonic()
        while not self._done.wait(WATCH_S):
            pid = getattr(getattr(self._manager, "provisioner", None), "pid", None)
            if pid:
                self.peak_mb = max(self.peak_mb, mb := _tree_mb(pid))
                if mb > self._memory_mb:
                    self.killed_for = (
                        f"took {mb} MB of memory, its limit is {self._memory_mb} MB; make it smaller or raise budget.memory_mb"
                    )
            if time.monotonic() - start > self._limit_s:
                self.killed_for = f"ran longer than its limit of {self._limit_s:.0f} s; it hangs, or its budget in the register is wrong"
            if self.killed_for and pid:
                _kill_tree(pid)
                return

    def stop(self) -> None:
        self._done.set()
        self.join()


def _processes(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _tree_mb(pid: int) -> int:
    total = 0
    for p in _processes(pid):
        try:
            total += p.memory_info().rss
        except psutil.Error:
            continue
    return total // 1_000_000


def _kill_tree(pid: int) -> None:
    for p in _processes(pid):
        try:
            p.kill()
        except psutil.Error:
            continue


def limit_s(entry: register.Entry, profile: str) -> float:
    """Wall seconds after which a page is stopped: four times its budget and a minute, so that a slow machine still finishes."""
    return {"smoke": 4 * entry.budget.smoke_s + 60, "book": 4 * entry.budget.book_s + 60, "paper": 24 * 3600}[profile]


def cpu_model() -> str:
    """The CPU's name with its family and model numbers, since virtual machines often hide the full name."""
    try:
        lines = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line]
    except OSError:
        lines = []
    facts = {k.strip(): v.strip() for k, v in reversed(lines)}
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    return f"{facts['model name']} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"


def execute(name: str, profile: str, seed: int, expected_key: str, limit_s: float, warm: bool = True) -> Run:
    """Run a page in a kernel of its own. Never raises for what the page does: the returned `problem` says what happened.

    `expected_key` is the caller's key of the page: on a worker whose checkout differs nothing is run. After `limit_s` wall seconds, or
    when it takes more memory than its budget, the page is stopped. A warm kernel is forked from this process's kernel server.
    """
    import papermill

    entry = register.load(name)
    nb = pair.read_source(name)
    if keys.key(nb, entry, profile, seed) != expected_key:
        return Run(
            name,
            f"{name}: the checkout of worker {platform.node()} differs from the caller's; bring both to the same commit",
            "",
            0,
            0,
            0,
            cpu_model(),
        )
    manager = _PageKernelManager(transport="ipc")
    manager.warm = warm
    if warm:
        SERVER.start()
    parameters = {} if (profile, seed) == ("book", 0) else {"profile": profile, "seed": seed}
    start = time.monotonic()
    watch = _Watch(manager, limit_s, entry.budget.memory_mb)
    problem = ""
    with tempfile.TemporaryDirectory(prefix="encore-page-") as folder:
        before = dict(os.environ)
        os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)
        os.environ.update(kernel_environment(), ENCORE_QUIET="1", ENCORE_ROOT=str(paths.root()))
        page_in, page_out = Path(folder, "in.ipynb"), Path(folder, "out.ipynb")
        nbformat.write(nb, page_in)
        watch.start()
        try:
            papermill.execute_notebook(
                page_in,
                page_out,
                parameters,
                cwd=folder,
                progress_bar=False,
                km=manager,
                kernel_name="python3",
                request_save_on_cell_execute=False,
            )
        except Exception as e:
            problem = _explain(name, e, injected=bool(parameters))
        finally:
            watch.stop()
            _shut_down(manager)
            os.environ.clear()
            os.environ.update(before)
        seconds = time.monotonic() - start
        executed = nbformat.read(page_out, as_version=4) if page_out.is_file() else nb
    if watch.killed_for:
        problem = f"{name} {watch.killed_for}"
    compute_s = _compute_seconds(executed)
    _clean(executed)
    problem = problem or _did_not_run(name, executed, profile, seed)
    return Run(name, problem, nbformat.writes(executed), round(seconds, 2), round(compute_s, 2), watch.peak_mb, cpu_model())


def _explain(name: str, e: Exception, injected: bool) -> str:
    from papermill.exceptions import PapermillExecutionError

    if isinstance(e, PapermillExecutionError):
        return f"{name}: cell {e.cell_index - injected} raised {e.ename}: {e.evalue[:600]}"
    if type(e).__name__ == "DeadKernelError":
        return f"{name}: its kernel was killed from outside (out of memory on the machine, or kill); run it again: press run {name}"
    return f"{name}: {type(e).__name__}: {str(e)[:600]}"


def _shut_down(manager: _PageKernelManager) -> None:
    pid = getattr(getattr(manager, "provisioner", None), "pid", None)
    if pid:
        _kill_tree(pid)
    manager.cleanup_connection_file()


def _compute_seconds(nb) -> float:
    """Seconds spent inside the page's cells, imports included."""
    return sum(c.metadata.get("papermill", {}).get("duration") or 0.0 for c in nb.cells)


def _clean(nb: Any) -> None:
    """Drop what papermill adds and what differs from run to run; the executed cells are the script's own."""
    nb.cells = [c for c in nb.cells if not {"injected-parameters", "papermill-error-cell-tag"} & set(c.metadata.get("tags", []))]
    nb.metadata.pop("papermill", None)
    nb.metadata["language_info"] = {"name": "python"}
    for cell in nb.cells:
        for volatile in ("papermill", "execution"):
            cell.metadata.pop(volatile, None)


def _did_not_run(name: str, nb: Any, profile: str, seed: int) -> str:
    """A run counts only if every code cell was executed and the verdict is this run's."""
    skipped = [i for i, c in pair.code_cells(nb) if c.execution_count is None and c.source.strip()]
    if skipped:
        return f"{name}: cell {skipped[0]} was never executed"
    result = pair.result_of(nb)
    if result is None:
        return f"{name}: no verdict: the page must end its Verdict section with page.verdict()"
    said = (f"{result['chapter']}/{result['slug']}", result["profile"], result["seed"])
    if said != (name, profile, seed):
        whose = f"{said[0]} in profile {said[1]}, seed {said[2]}"
        return f"{name}: its verdict is of {whose}: encore.open must be given the page's own name, `profile` and `seed`"
    return ""
