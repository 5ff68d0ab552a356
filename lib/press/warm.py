"""Warm kernels: a server imports the heavy third-party modules once and forks a kernel per page.

A page's kernel costs seconds of imports (torch, matplotlib, scikit-learn) before its first line runs. Here it costs a fork. Only
third-party modules are loaded beforehand, never `encore`, so an edit of the library is always seen.

`python -m press.warm SOCKET` is the server: it ends when its standard input closes, and its kernels end with it.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from jupyter_client.provisioning import LocalProvisioner

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""One thread per page: two pages with two threads each on two cores ran 53 times slower than one alone."""


def kernel_environment() -> dict[str, str]:
    """This process's environment as a kernel gets it: one thread, and without the malloc setting that dask gives its workers.

    With MALLOC_TRIM_THRESHOLD_ set, glibc maps and faults in every tensor above 128 kB anew: pages took up to twice as long.
    """
    return {k: v for k, v in os.environ.items() if k != "MALLOC_TRIM_THRESHOLD_"} | THREADS


PRELOAD = (
    "numpy",
    "scipy.stats",
    "scipy.optimize",
    "pandas",
    "sklearn",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "torch",
    "torch._dynamo",
    "pydantic",
    "yaml",
    "PIL.Image",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.kernelapp",
    "IPython.core.completer",
)


# ------------------------------------------------------------------------------------------------------------- the server


def serve(path: str) -> None:
    """Listen at a Unix socket; fork a kernel for each request {cwd, env, argv}; answer its pid, later its exit status."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    import importlib

    for module in PRELOAD:
        importlib.import_module(module)
    if (n := len(os.listdir("/proc/self/task"))) != 1:
        raise SystemExit(f"the kernel server has {n} threads after its imports; forking would be unsafe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    wake_r, wake_w = os.pipe2(os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_w)
    running: dict[int, socket.socket] = {}
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, wake_r, sys.stdin], [], [])
        if sys.stdin in ready and not os.read(sys.stdin.fileno(), 1):
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            return
        if wake_r in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_r, 4096)
            _reap(running)
        if listener in ready:
            connection, _ = listener.accept()
            request = json.loads(_receive(connection))
            pid = os.fork()
            if pid == 0:
                for s in (listener, *running.values()):
                    s.close()
                _become_kernel(request)
            connection.sendall(struct.pack("i", pid))
            running[pid] = connection


def _reap(running: dict[int, socket.socket]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if connection := running.pop(pid, None):
            with contextlib.suppress(OSError):
                connection.sendall(struct.pack("i", os.waitstatus_to_exitcode(status)))
            connection.close()


def _receive(connection: socket.socket) -> bytes:
    (size,) = struct.unpack("i", connection.recv(4, socket.MSG_WAITALL))
    return connection.recv(size, socket.MSG_WAITALL)


def _become_kernel(request: dict[str, Any]) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no kernel outlives its server
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    os.environ.pop("JPY_PARENT_PID", None)
    sys.argv, sys.path[0] = ["ipykernel_launcher", *request["argv"]], ""
    from ipykernel import kernelapp

    try:
        kernelapp.launch_new_instance(argv=[*request["argv"], "--IPKernelApp.log_level=40"])
    finally:
        os._exit(0)


# ------------------------------------------------------------------------------------------------------------- the client


class Server:
    """A kernel server of this process, started at first use; `fork` asks it for a kernel."""

    def __init__(self):
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._socket = ""

    def start(self) -> None:
        """Start the server unless it is running. Raises RuntimeError with its last words if it cannot start."""
        with self._lock:
            if self._process and self._process.poll() is None:
                return
            self._socket = str(Path(tempfile.mkdtemp(prefix="encore-")) / "kernels")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "press.warm", self._socket],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=kernel_environment(),
                start_new_session=True,
            )
            if self._process.stdout.readline().strip() != b"ready":
                raise RuntimeError(f"the kernel server did not start: {self._process.stderr.read().decode()[-500:]} (try --cold)")

    def fork(self, argv: list[str], cwd: str, env: dict[str, str]) -> "ForkedKernel":
        self.start()
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._socket)
        request = json.dumps({"argv": argv, "cwd": cwd, "env": env}).encode()
        connection.sendall(struct.pack("i", len(request)) + request)
        (pid,) = struct.unpack("i", connection.recv(4, socket.MSG_WAITALL))
        return ForkedKernel(pid, connection)


SERVER = Server()


class ForkedKernel:
    """The part of subprocess.Popen that jupyter_client uses, for a kernel forked by the server."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, connection: socket.socket):
        self.pid, self._connection, self.returncode = pid, connection, None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            word = self._connection.recv(4)
            self.returncode = struct.unpack("i", word)[0] if len(word) == 4 else -signal.SIGKILL
            self._connection.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            select.select([self._connection], [], [], timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(["kernel"], timeout)
        return self.returncode

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class WarmProvisioner(LocalProvisioner):
    """Jupyter kernel provisioner that asks the warm server for a fork instead of starting a process."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any):
        argv = cmd[cmd.index("ipykernel_launcher") + 1 :]
        self.process = SERVER.fork(argv, str(kwargs.get("cwd") or os.getcwd()), kwargs["env"])
        self.pid = self.process.pid
        self.pgid = self.pid  # the kernel leads its own session
        return self.connection_info


if __name__ == "__main__":
    serve(sys.argv[1])
