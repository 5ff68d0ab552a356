"""The press dies, a cluster is somewhere else, kernels are warm or cold: the results are the same and none is lost."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil

from encore import register
from press import run, state

SLOW_ONCE = """import os, pathlib, time
slept = pathlib.Path(os.environ["ENCORE_ROOT"], "slept")
first = not slept.exists()
slept.touch()
time.sleep(300 if first else 0)"""


def _wait(condition, what, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.2)


def _processes_of(root):
    found = []
    for p in psutil.process_iter():
        try:
            if p.status() != psutil.STATUS_ZOMBIE and p.environ().get("ENCORE_ROOT") == str(root) and p.pid != os.getpid():
                found.append(p)
        except psutil.Error:
            continue
    return found


def test_killed_in_mid_run_and_started_again(compendium):
    quick, slow = compendium.add("quick"), compendium.add("slow", SLOW_ONCE)
    command = [sys.executable, "-m", "press.cli", "run", "--force", "--workers", "2"]
    first = subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    _wait(lambda: compendium.result(quick).exists() and (compendium.root / "slept").exists(), "the quick page")
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = compendium.result(quick).stat().st_mtime_ns
    _wait(lambda: not _processes_of(compendium.root), "workers and kernels to end with the press", 60)
    assert not compendium.result(slow).exists()

    again = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=200)
    assert again.returncode == 0, again.stderr
    assert "going on with an interrupted run: 1 of 2 pages are done" in again.stderr
    assert compendium.result(quick).stat().st_mtime_ns == before
    assert json.loads(compendium.result(slow).read_text())["claims"][0]["verdict"] == "reproduced"
    assert not list((compendium.root / "_build" / "journal").glob("*"))
    assert not list((compendium.root / "data" / "results" / "lab").glob(".*")), "half-written files are left"


def test_two_pages_through_a_separate_scheduler_and_worker(compendium):
    alone = 'import os\nassert os.environ["OMP_NUM_THREADS"] == "1"\nassert "MALLOC_TRIM_THRESHOLD_" not in os.environ'
    names = [compendium.add("one", alone), compendium.add("two", alone)]
    where = compendium.root / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(where)], **quiet
    )
    try:
        _wait(where.exists, "the scheduler's file")
        address = json.loads(where.read_text())["address"]
        worker = subprocess.Popen([*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"], **quiet)
        try:
            from distributed import Client

            with Client(address, timeout=60) as client:
                client.wait_for_workers(1, timeout=120)
            assert run.run(state.pages(), scheduler=address) == []
        finally:
            os.killpg(worker.pid, signal.SIGTERM)
            worker.wait(30)
    finally:
        os.killpg(scheduler.pid, signal.SIGTERM)
        scheduler.wait(30)
    for name in names:
        assert state.of(register.load(name)).needs == ""


def test_a_worker_of_another_checkout_is_refused(compendium):
    from press import execute

    name = compendium.add("one")
    r = execute.execute(name, "smoke", 0, "another key", 60, warm=False)
    assert not r.ok
    assert "differs from the caller's; bring both to the same commit" in r.problem


def test_no_scheduler_at_the_address(compendium, monkeypatch):
    import pytest

    from press import schedule

    compendium.add("one")
    with pytest.raises(ConnectionError, match="no dask scheduler answers at tcp://127.0.0.1:1"):
        schedule.run_all([], "book", 0, lambda r: None, scheduler="tcp://127.0.0.1:1")


def test_warm_and_cold_kernels_measure_the_same(compendium):
    name = compendium.add("one", "import torch\npage.say(str(torch.randn(5).sum().item()) + str(np.random.rand()))")
    runs = []
    for warm in (True, False):
        assert run.run(state.pages([name]), force=True, warm=warm) == []
        runs.append(json.loads(compendium.result(name).read_text()))
    assert runs[0]["claims"] == runs[1]["claims"]
    assert runs[0]["outputs"] == runs[1]["outputs"]


def test_other_profiles_and_seeds_leave_the_book_alone(compendium):
    name = compendium.add("one")
    assert run.run(state.pages([name]), "smoke", 3) == []
    assert not compendium.notebook(name).exists()
    result = json.loads((compendium.root / "_build" / "runs" / "smoke-seed3" / f"{name}.json").read_text())
    assert {c["verdict"] for c in result["claims"]} == {"not judged"}
