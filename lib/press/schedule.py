"""Run pages side by side over dask.distributed: a local cluster by default, any running cluster by its address."""

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from press import execute
from press.execute import Run
from press.warm import THREADS


@dataclass(frozen=True)
class Task:
    """A page to run: its name, its expected key, the wall seconds it is likely to take and those it may take."""

    name: str
    key: str
    expected_s: float
    limit_s: float


def run_all(
    tasks: list[Task],
    profile: str,
    seed: int,
    done: Callable[[Run], None],
    *,
    workers: int = 2,
    scheduler: str | None = None,
    warm: bool = True,
) -> None:
    """Execute pages, longest first, and hand each Run to `done` as it arrives; one page's failure stops no other.

    Raises ConnectionError (OSError) if the scheduler cannot be reached or has no workers.
    """
    os.environ.update(THREADS)
    os.environ.setdefault("DASK_DISTRIBUTED__LOGGING__DISTRIBUTED", "critical")
    from distributed import as_completed

    with _client(workers if len(tasks) > 1 else 1, scheduler) as client:
        slots = sum(client.nthreads().values())
        if not slots:
            raise ConnectionError(f"the scheduler at {scheduler} has no workers; start one with: dask worker {scheduler} --nthreads 1")
        queue = sorted(tasks, key=lambda t: -t.expected_s)
        display = Display({t.name: t.expected_s for t in tasks}, slots)

        def submit():
            t = queue.pop(0)
            display.started(t.name)
            future = client.submit(execute.execute, t.name, profile, seed, t.key, t.limit_s, warm, pure=False)
            names[future.key] = t.name
            return future

        names: dict[str, str] = {}
        pending = as_completed([submit() for _ in range(min(slots, len(queue)))])
        with display:
            for future in pending:
                name = names.pop(future.key)
                try:
                    run = future.result()
                except Exception as e:  # the worker itself was lost
                    run = Run(name, f"{name}: its worker was lost ({type(e).__name__}); run it again: press run {name}", "", 0, 0, 0, "")
                done(run)
                display.finished(run)
                if queue:
                    pending.add(submit())


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None):
    from distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout=20)
        except OSError as e:
            raise ConnectionError(f"no dask scheduler answers at {scheduler} ({e}); start one with: dask scheduler") from None
        with client:
            yield client
    else:
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, memory_limit=0, dashboard_address="127.0.0.1:0", silence_logs=50
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


class Display:
    """Which pages run, which are done, how long is left: one line that is rewritten on a terminal, a line per event elsewhere."""

    def __init__(self, expected: dict[str, float], slots: int):
        self._expected, self._slots = expected, slots
        self._running: dict[str, float] = {}
        self._done, self._compute_s, self._start = 0, 0.0, time.monotonic()
        self._live = sys.stderr.isatty()
        self._timer = None

    def __enter__(self):
        if self._live:
            import threading

            self._stop = threading.Event()
            self._timer = threading.Thread(target=self._refresh, daemon=True)
            self._timer.start()
        return self

    def __exit__(self, *_):
        if self._timer:
            self._stop.set()
            self._timer.join()
            print("\r\033[K", end="", file=sys.stderr)
        wall = time.monotonic() - self._start
        said = f"{self._done} pages in {wall:.1f} s on {self._slots} workers; {self._compute_s:.1f} s inside the pages' cells"
        print(said, file=sys.stderr)

    def _refresh(self):
        while not self._stop.wait(0.5):
            print("\r\033[K" + self._status()[:160], end="", file=sys.stderr, flush=True)

    def started(self, name: str) -> None:
        self._running[name] = time.monotonic()

    def finished(self, run: Run) -> None:
        self._running.pop(run.name, None)
        self._expected.pop(run.name, None)
        self._done += 1
        self._compute_s += run.compute_s
        total = self._done + len(self._expected)
        word = f"ok, {run.seconds:.0f} s, {run.peak_mb} MB" if run.ok else f"FAILED: {run.problem}"
        start = "\r\033[K" if self._live else ""
        print(f"{start}[{self._done}/{total}] {run.name}: {word}", file=sys.stderr, flush=True)
        if not self._live and self._expected:
            print(f"        {self._status()}", file=sys.stderr, flush=True)

    def left_s(self) -> float:
        """Seconds until the last page is done, if pages take what they took the last time (or their budget)."""
        now = time.monotonic()
        left = {n: max(s - (now - self._running.get(n, now)), 1.0) for n, s in self._expected.items()}
        return max(max(left.values(), default=0.0), sum(left.values()) / self._slots)

    def _status(self) -> str:
        now = time.monotonic()
        running = ", ".join(f"{n} ({now - t:.0f} of ~{self._expected.get(n, 0):.0f} s)" for n, t in self._running.items())
        return f"running: {running or 'starting'}; {len(self._expected)} left, about {self.left_s():.0f} s"
