"""The probe of compiled kernels: known traffic, a loop that vectorises and one that cannot, a made-up cache folder."""

import numba
import numpy as np
import pytest

from encore.bases import kernel_probe as probe


@numba.njit("float32(float32[::1])")
def first_half(x):
    total = np.float32(0)
    half = x[: len(x) // 2]
    for i in range(len(half)):
        total += half[i]
    return total


@numba.njit("void(float32[::1], float32[::1])")
def scale(x, y):
    factor = first_half(x)
    for i in range(len(x)):
        y[i] = x[i] * factor


def test_counts_elements_of_the_source_itself():
    data = np.arange(10, dtype=np.float32)
    x, y = probe.Counted(data), probe.Counted(np.zeros_like(data))
    probe.interpreted(scale, [first_half])(x, y)
    assert (x.counts, y.counts) == ({"read": 15, "written": 0}, {"read": 0, "written": 10})
    expected = np.zeros_like(data)
    scale(data, expected)
    np.testing.assert_array_equal(y.data, expected)


def test_counted_takes_vectors_only():
    with pytest.raises(ValueError, match="vector"):
        probe.Counted(np.zeros((2, 2)))


def test_instructions_tell_a_vector_loop_from_an_ordered_sum():
    class Kernel:
        def __init__(self, code):
            self.code = code

        def inspect_asm(self):
            return {"signature": self.code}

    assert probe.instructions(Kernel("\tvmulps\t%zmm1, %zmm0, %zmm2\n\tvaddps\t%ymm1, %ymm0, %ymm2\n")) == (512, 1, 0)
    assert probe.instructions(Kernel("\tvgatherqps\t(,%zmm12), %ymm13 {%k1}\n\tvaddss\t%xmm1, %xmm0, %xmm2\n")) == (0, 0, 1)


def test_aligned_vectors_begin_at_cache_lines():
    for n in (1, 100, 1000):
        v = probe.aligned(n, 2.5)
        assert v.ctypes.data % 64 == 0
        np.testing.assert_array_equal(v, np.full(n, 2.5, np.float32))


def test_stream_and_its_time():
    x, y = np.arange(100, dtype=np.float32), np.zeros(100, np.float32)
    assert probe.nanoseconds(probe.stream, x, y, elements=1000) > 0
    np.testing.assert_array_equal(y, x + 1)


def test_caches(tmp_path):
    for i, (level, kind, size) in enumerate([("1", "Data", "48K"), ("1", "Instruction", "32K"), ("3", "Unified", "32M")]):
        (tmp_path / f"index{i}").mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (tmp_path / f"index{i}" / name).write_text(f"{text}\n")
    assert probe.caches(tmp_path) == {"L1": 48 * 1024, "L3": 32 * 1024**2}
    assert probe.caches(tmp_path / "missing") == {}
    assert probe.processor()
