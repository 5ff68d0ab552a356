"""Stationary states of small graphs against closed forms."""

import numpy as np
import pytest

from encore.bases import stationary_graphs as sg


def test_values_of_a_cycle():
    r = np.array([0.3, -0.2, 0.9])  # one edge into every state: V_v = r_v + 0.9 V_(v-1)
    V, unknown = sg.solve_values(np.ones((3, 1)), r[:, None], np.array([2, 0, 1]), np.arange(3), 1e-12)
    assert unknown.all()
    assert V[0] == pytest.approx((0.3 + 0.9 * 0.9 + 0.81 * -0.2) / (1 - 0.9**3), abs=1e-9)


def test_pressure_of_two_conductors_in_series():
    nodes = np.array([[0.0, 0, 1, 1], [0.5, 0, 0, 0], [1.0, 0, 1, 0]])
    src, dst = np.array([0, 1, 1, 2]), np.array([1, 0, 2, 1])
    p, inside = sg.solve_pressures(nodes, np.log([[3.0], [3.0], [1.0], [1.0]]), src, dst)
    assert inside.tolist() == [False, True, False]
    assert p.tolist() == pytest.approx([1, 0.75, 0])


@pytest.mark.parametrize("task", sg.tasks)
def test_stack_keeps_members_apart_and_solved(task):
    g = sg.stack(task, [3, 4], [0], 2)
    N = g.nodes.shape[1]
    assert ((g.src // N) == (g.dst // N)).all()
    assert not g.inside[:, -1].any()
    alone = sg.stack(task, [4], [0], 2)
    n = int(alone.nodes.shape[1]) - 1
    np.testing.assert_allclose(g.y[1, :n], alone.y[0, :n], atol=1e-5)
