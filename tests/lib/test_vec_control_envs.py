"""The control tasks against gymnasium, physics, and each other's array library."""

import numpy as np
import pytest
import torch

from encore.bases.vec_control_envs import CartPoleSwingUp, Pendulum, Reacher, held_step

ENVS = [Pendulum(), CartPoleSwingUp(), CartPoleSwingUp(spread=np.pi), Reacher()]


def rollout(env, steps=60, shape=(3, 5), seed=0, size=1.0):
    rng = np.random.default_rng(seed)
    states, rewards = [env.reset(shape, rng)], []
    for _ in range(steps):
        state, reward = env.step(states[-1], rng.uniform(-size, size, (*shape, env.action_dim)))
        states.append(state)
        rewards.append(reward)
    return np.array(states), np.array(rewards)


def test_pendulum_is_gymnasiums():
    gymnasium = pytest.importorskip("gymnasium")
    env, mine = gymnasium.make("Pendulum-v1").unwrapped, Pendulum()
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    state = np.array(env.state)
    for u in rng.uniform(-1.2, 1.2, (1000, 1)):  # some beyond the limit
        observation, reward, *_ = env.step(2 * u)
        state, r = mine.step(state, u)
        assert np.allclose(mine.observe(state), observation, atol=1e-6)
        assert abs(r - reward) < 1e-9


def test_cart_pole_is_gymnasiums_with_its_semi_implicit_integrator():
    gymnasium = pytest.importorskip("gymnasium")
    env, mine = gymnasium.make("CartPole-v1").unwrapped, CartPoleSwingUp(substeps=1)
    env.kinematics_integrator = "semi-implicit euler"
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        start, push = rng.uniform(-1, 1, 4) * np.array([2.0, 1.0, 3.0, 4.0]), rng.integers(2)
        env.state, env.steps_beyond_terminated = start, None
        env.step(int(push))
        state, _ = mine.step(start, np.array([2.0 * push - 1]))
        assert np.allclose(state, np.array(env.state), atol=1e-9)


def test_cart_stops_at_the_ends():
    env = CartPoleSwingUp()
    state = env.reset((4,), np.random.default_rng(0))
    for _ in range(100):
        state, _ = env.step(state, np.ones((4, 1)))
    assert np.allclose(state[:, 0], 2.4)
    assert np.allclose(state[:, 1], 0)


def test_reacher_conserves_energy_without_torque_and_damping_and_loses_it_with():
    for damping, low, high in ((0.0, 0.97, 1.03), (0.3, 0.0, 0.5)):
        env = Reacher(damping=damping)
        state = env.reset((50,), np.random.default_rng(1))
        state[:, 2:4] = np.random.default_rng(2).uniform(-2, 2, (50, 2))

        def energy(s, env=env):
            m11, m12, m22 = env.inertia(s[:, 1])
            return 0.5 * (m11 * s[:, 2] ** 2 + 2 * m12 * s[:, 2] * s[:, 3] + m22 * s[:, 3] ** 2)

        start = energy(state)
        for _ in range(20):
            state, _ = env.step(state, np.zeros((50, 2)))
        ratio = energy(state) / start
        assert low <= np.median(ratio) <= high


def test_reacher_inertia_is_that_of_two_rods():
    """Kinetic energy by summing point masses along both rods at random states."""
    env, rng = Reacher(), np.random.default_rng(0)
    q, w = rng.uniform(-3, 3, (20, 2)), rng.uniform(-3, 3, (20, 2))
    s = (np.arange(2000) + 0.5) / 2000 * env.length
    a, b = q[:, :1], q.sum(1, keepdims=True)
    va, vb = w[:, :1], w.sum(1, keepdims=True)
    first = (s * va) ** 2
    second = (env.length * va * -np.sin(a) - s * vb * np.sin(b)) ** 2 + (env.length * va * np.cos(a) + s * vb * np.cos(b)) ** 2
    summed = 0.5 * env.mass * (first.mean(1) + second.mean(1))
    m11, m12, m22 = env.inertia(q[:, 1])
    assert np.allclose(summed, 0.5 * (m11 * w[:, 0] ** 2 + 2 * m12 * w[:, 0] * w[:, 1] + m22 * w[:, 1] ** 2), rtol=1e-5)


@pytest.mark.parametrize("env", ENVS, ids=lambda e: type(e).__name__)
def test_shapes_ranges_and_torch(env):
    states, rewards = rollout(env)
    assert states.shape == (61, 3, 5, env.state_dim)
    assert env.observe(states).shape == (61, 3, 5, env.obs_dim)
    assert np.isfinite(states).all()
    assert rewards.min() >= env.worst_reward - 1e-9
    assert rewards.max() <= env.best_reward + 1e-9
    action = np.random.default_rng(1).uniform(-1, 1, (3, 5, env.action_dim))
    ours, reward = env.step(states[30], action)
    theirs, theirs_reward = env.step(torch.as_tensor(states[30]), torch.as_tensor(action))
    assert np.allclose(ours, theirs.numpy())
    assert np.allclose(reward, theirs_reward.numpy())
    assert np.allclose(env.observe(ours), env.observe(theirs).numpy())


@pytest.mark.parametrize("env", ENVS, ids=lambda e: type(e).__name__)
def test_members_are_independent_and_actions_clipped(env):
    states, _ = rollout(env)
    action = np.full((3, 5, env.action_dim), 7.0)
    together, _ = env.step(states[10], action)
    single, _ = env.step(states[10, 1, 2], np.ones(env.action_dim))
    assert np.allclose(together[1, 2], single)


def test_constants_may_differ_by_member():
    env, rng = Pendulum(length=np.array([[0.5], [1.0]])), np.random.default_rng(0)
    state, action = Pendulum().reset((2, 3), rng), rng.uniform(-1, 1, (2, 3, 1))
    assert np.allclose(env.step(state, action)[0][1], Pendulum().step(state[1], action[1])[0])
    assert not np.allclose(env.step(state, action)[0][0], Pendulum().step(state[0], action[0])[0])


def test_held_step_is_several_steps():
    env, rng = Pendulum(), np.random.default_rng(0)
    state, action = env.reset((4,), rng), rng.uniform(-1, 1, (4, 1))
    middle, first = env.step(state, action)
    last, second = env.step(middle, action)
    held, mean = held_step(env, state, action, 2)
    assert np.allclose(held, last)
    assert np.allclose(mean, (first + second) / 2)


def test_errors_name_the_thing():
    env = Reacher()
    with pytest.raises(ValueError, match="action has shape.*must be 2"):
        env.step(np.zeros((4, 6)), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="must agree"):
        env.step(np.zeros((4, 6)), np.zeros((3, 2)))
