"""Looking at Numba kernels and at the machine under them: element traffic, generated instructions, alignment, time, bandwidth, cache sizes.

    x, y = Counted(scores), Counted(np.zeros_like(scores))
    interpreted(program, [pass_one, pass_two])(x, y)         # the same source, run by Python
    x.counts["read"], y.counts["written"]
    instructions(pass_one)                                   # (512, 18, 0): register bits, packed instructions, gathers

Traffic is counted in elements by running a kernel's own source, not a copy of it. Instructions are read from x86 assembly (AVX mnemonics as
LLVM prints them, AT&T syntax).
"""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType

import numba
import numpy as np
from llvmlite import binding

_PACKED = re.compile(r"\tv(?:fn?m(?:add|sub)\d+|add|mul|max|min|sub|rndscale|round|cmp\w*)ps\s[^\n]*%([xyz])mm")
_BITS = {"x": 128, "y": 256, "z": 512}
_CACHE = Path("/sys/devices/system/cpu/cpu0/cache")


class Counted:
    """A vector that counts element reads and writes in `counts`; its slices are views and share the counters."""

    def __init__(self, data: np.ndarray, counts: dict[str, int] | None = None):
        if data.ndim != 1:
            raise ValueError(f"Counted takes a vector, not shape {data.shape}")
        self.data, self.counts = data, {"read": 0, "written": 0} if counts is None else counts

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return Counted(self.data[i], self.counts)
        self.counts["read"] += 1
        return self.data[i]

    def __setitem__(self, i: int, value) -> None:
        self.counts["written"] += 1
        self.data[i] = value


def interpreted(program, passes: Sequence) -> Callable:
    """The Python function behind a Numba kernel, calling the Python functions behind `passes` instead of their compiled forms."""
    functions = {p.py_func.__name__: p.py_func for p in passes}
    return FunctionType(program.py_func.__code__, {**program.py_func.__globals__, **functions})


def instructions(compiled) -> tuple[int, int, int]:
    """Of a compiled Numba kernel: bits of the widest register in packed float32 arithmetic, number of such instructions, number of gathers.

    (0, 0, 0) where nothing is recognised, as on processors that are not x86.
    """
    code = "\n".join(compiled.inspect_asm().values())
    widths = [_BITS[register] for register in _PACKED.findall(code)]
    widest = max(widths, default=0)
    return widest, widths.count(widest), len(re.findall(r"\tvp?gather", code))


@numba.njit("float32[::1](int64, float32)")
def aligned(n, value):
    """(n,) float32 filled with value, beginning at a multiple of 64 bytes: no vector load crosses a cache line. For kernels and Python."""
    block = np.full(n + 16, value, np.float32)
    skip = (-(block.ctypes.data // 4)) % 16
    return block[skip : skip + n]


def nanoseconds(program, x: np.ndarray, y: np.ndarray, elements: int = 2**20) -> float:
    """Wall time per element of program(x, y, repeats), x and y (n,), which repeats its work until about `elements` elements are done."""
    repeats, start = max(1, elements // len(x)), time.perf_counter()
    program(x, y, repeats)
    return (time.perf_counter() - start) / repeats / len(x) * 1e9


@numba.njit
def stream(x, y, repeats):
    """y = x + 1, `repeats` times: one read and one write per element and next to no arithmetic, so its time measures bandwidth.

    A loop in the manner of McCalpin's STREAM benchmark. x, y: (n,) float32. A bare copy would be replaced by a call of memcpy.
    """
    for _ in range(repeats):
        for i in range(len(x)):
            y[i] = x[i] + np.float32(1)


def processor() -> str:
    """The name by which LLVM, and so Numba, knows this machine's processor, such as znver5."""
    return binding.get_host_cpu_name()


def caches(folder: Path = _CACHE) -> dict[str, int]:
    """Bytes of each data or unified cache that one core sees, {"L1": ..., "L2": ...}; empty where Linux does not tell."""
    found = {}
    for index in sorted(folder.glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = int(size[:-1]) * {"K": 1024, "M": 1024**2}[size[-1]]
    return found
