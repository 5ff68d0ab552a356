"""Three continuous-control tasks that step any number of copies at once, in numpy or in torch.

    env = Pendulum()
    state = env.reset((members, n_envs), rng)           # numpy float64; torch.as_tensor(state, dtype=torch.float32) for torch
    state, reward = env.step(state, action)             # action (members, n_envs, env.action_dim) in [-1, 1]
    observation = env.observe(state)

An environment holds constants only. The state is an array (..., state_dim) that the caller keeps, so `step` is a pure function:
planning from a state, sweeping a constant over members (any constant may be an array that broadcasts against `...`) and
differentiating through a step (torch) all work. Actions outside [-1, 1] are clipped. No task terminates: an episode ends after
`horizon` steps by a time limit, which is no `done` for a value function. A reward depends on the state before the step and the action
and lies between `worst_reward` and `best_reward`, which no policy attains at every step. `spread` and `substeps` are plain numbers.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np


def _library(x):
    """numpy for arrays, torch for tensors."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np
    import torch

    return torch


def _checked(env, state, action):
    for name, array, width in (("state", state, env.state_dim), ("action", action, env.action_dim)):
        if array.shape[-1] != width:
            raise ValueError(f"{type(env).__name__}: {name} has shape {tuple(array.shape)}; its last dimension must be {width}")
    if state.shape[:-1] != action.shape[:-1]:
        shapes = f"{tuple(state.shape)} and {tuple(action.shape)}"
        raise ValueError(f"{type(env).__name__}: state and action, {shapes}, must agree in all but the last dimension")
    return _library(state).clip(action, -1.0, 1.0)


def held_step(env, state, action, hold: int):
    """`hold` simulator steps with the same action (action repeat): the state after the last, and the mean reward (...)."""
    total = 0.0
    for _ in range(hold):
        state, reward = env.step(state, action)
        total = total + reward / hold
    return state, total


@dataclass(frozen=True)
class Pendulum:
    """Swing-up of a torque-limited pendulum: the equations, observation and reward of gymnasium's Pendulum-v1.

    State (angle from upright in rad, not wrapped; angular speed in rad/s, |.| <= 8). Observation (cos, sin, speed). Action 1: torque
    in units of 2 N m. Reward per step in [-16.3, 0]: -(angle^2 + 0.1 speed^2 + 0.001 torque^2). Step 0.05 s.
    """

    gravity: Any = 10.0
    mass: Any = 1.0
    length: Any = 1.0
    state_dim: ClassVar[int] = 2
    obs_dim: ClassVar[int] = 3
    action_dim: ClassVar[int] = 1
    horizon: ClassVar[int] = 200
    worst_reward: ClassVar[float] = -(np.pi**2 + 6.4 + 0.004)
    best_reward: ClassVar[float] = 0.0

    def reset(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Angle uniform in [-pi, pi], speed uniform in [-1, 1]: (*shape, 2) float64."""
        return rng.uniform(-1, 1, (*shape, 2)) * np.array([np.pi, 1.0])

    def observe(self, state):
        xp = _library(state)
        return xp.stack((xp.cos(state[..., 0]), xp.sin(state[..., 0]), state[..., 1]), -1)

    def step(self, state, action):
        """(..., 2), (..., 1) -> next state (..., 2), reward (...)."""
        torque = 2.0 * _checked(self, state, action)[..., 0]
        xp, angle, speed = _library(state), state[..., 0], state[..., 1]
        wrapped = xp.remainder(angle + np.pi, 2 * np.pi) - np.pi
        reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)
        pull = 3 * self.gravity / (2 * self.length) * xp.sin(angle) + 3 / (self.mass * self.length**2) * torque
        speed = xp.clip(speed + 0.05 * pull, -8.0, 8.0)
        return xp.stack((angle + 0.05 * speed, speed), -1), reward


@dataclass(frozen=True)
class CartPoleSwingUp:
    """Swing a hanging pole up and balance it by pushing its cart, on a track of 2 x 2.4 m with inelastic ends.

    The frictionless cart-pole of Barto, Sutton and Anderson (1983), with the constants of gymnasium's CartPole, a continuous force and
    semi-implicit Euler steps of 0.02 s, `substeps` of them per action. State (position m, speed m/s, angle from upright rad, not
    wrapped, angular speed rad/s). Observation (position, speed, cos, sin, angular speed). Action 1: force in units of 10 N. Reward per
    step in [0, 1]: (1 + cos angle) / 2 * (1 - (position / 2.4)^2 / 2) / (1 + (angular speed / 4)^2).
    """

    gravity: Any = 9.8
    cart_mass: Any = 1.0
    pole_mass: Any = 0.1
    half_length: Any = 0.5
    spread: float = 0.05
    substeps: int = 2
    state_dim: ClassVar[int] = 4
    obs_dim: ClassVar[int] = 5
    action_dim: ClassVar[int] = 1
    horizon: ClassVar[int] = 100
    worst_reward: ClassVar[float] = 0.0
    best_reward: ClassVar[float] = 1.0

    def reset(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Nearly at rest in the middle (within 0.05), hanging up to `spread` rad (pi: any angle): (*shape, 4) float64."""
        return rng.uniform(-1, 1, (*shape, 4)) * np.array([0.05, 0.05, self.spread, 0.05]) + np.array([0.0, 0.0, np.pi, 0.0])

    def observe(self, state):
        xp = _library(state)
        x, v, angle, speed = (state[..., i] for i in range(4))
        return xp.stack((x, v, xp.cos(angle), xp.sin(angle), speed), -1)

    def step(self, state, action):
        """(..., 4), (..., 1) -> next state (..., 4), reward (...)."""
        force = 10.0 * _checked(self, state, action)[..., 0]
        xp, total, moment = _library(state), self.cart_mass + self.pole_mass, self.pole_mass * self.half_length
        x, v, angle, speed = (state[..., i] for i in range(4))
        reward = 0.5 * (1 + xp.cos(angle)) * (1 - 0.5 * (x / 2.4) ** 2) / (1 + (speed / 4) ** 2)
        for _ in range(self.substeps):
            cos, sin = xp.cos(angle), xp.sin(angle)
            push = (force + moment * speed**2 * sin) / total
            turn = (self.gravity * sin - cos * push) / (self.half_length * (4 / 3 - self.pole_mass * cos**2 / total))
            v = v + 0.02 * (push - moment * turn * cos / total)
            speed = speed + 0.02 * turn
            free, angle = x + 0.02 * v, angle + 0.02 * speed
            x = xp.clip(free, -2.4, 2.4)
            v = v * (x == free)
        return xp.stack((x, v, angle, speed), -1), reward


@dataclass(frozen=True)
class Reacher:
    """A planar arm of two uniform rods reaches for a random target with its fingertip, without gravity.

    Each rod 0.5 m, 0.2 kg; manipulator equation M(q) q'' + C(q, q') + damping q' = torque (Spong, Hutchinson and Vidyasagar, Robot
    Modeling and Control, ch. 7), semi-implicit Euler, 4 steps of 0.0125 s per action. State (two joint angles rad, the second relative
    to the first; two speeds rad/s; target x, y in m). Observation as gymnasium's Reacher: cos (2), sin (2), target (2), speeds (2),
    fingertip - target (2). Action 2: joint torques in units of 1 and 0.5 N m. Reward per step in [-1.92, 0]:
    -(distance in m) - 0.01 |action|^2.
    """

    length: Any = 0.5
    mass: Any = 0.2
    damping: Any = 0.3
    state_dim: ClassVar[int] = 6
    obs_dim: ClassVar[int] = 10
    action_dim: ClassVar[int] = 2
    horizon: ClassVar[int] = 50
    worst_reward: ClassVar[float] = -1.92
    best_reward: ClassVar[float] = 0.0

    def reset(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Joint angles uniform, at rest; target uniform on the disc of radius 1.8 rods: (*shape, 6) float64."""
        joints = rng.uniform(-np.pi, np.pi, (*shape, 2))
        radius, turn = 1.8 * self.length * np.sqrt(rng.uniform(0, 1, shape)), rng.uniform(-np.pi, np.pi, shape)
        target = np.stack((radius * np.cos(turn), radius * np.sin(turn)), -1)
        return np.concatenate((joints, np.zeros((*shape, 2)), target), -1)

    def fingertip(self, state):
        """Position (..., 2) in m."""
        xp, a, b = _library(state), state[..., 0], state[..., 0] + state[..., 1]
        return self.length * xp.stack((xp.cos(a) + xp.cos(b), xp.sin(a) + xp.sin(b)), -1)

    def observe(self, state):
        xp, q = _library(state), state[..., :2]
        return xp.concatenate((xp.cos(q), xp.sin(q), state[..., 4:], state[..., 2:4], self.fingertip(state) - state[..., 4:]), -1)

    def inertia(self, bend):
        """Entries (m11, m12, m22) of the mass matrix in kg m^2 at the second joint angle `bend`."""
        c, unit = _library(bend).cos(bend), self.mass * self.length**2
        return unit * (5 / 3 + c), unit * (1 / 3 + 0.5 * c), unit / 3 + 0.0 * c

    def step(self, state, action):
        """(..., 6), (..., 2) -> next state (..., 6), reward (...)."""
        action, xp = _checked(self, state, action), _library(state)
        gap = self.fingertip(state) - state[..., 4:]
        reward = -xp.sqrt((gap**2).sum(-1)) - 0.01 * (action**2).sum(-1)
        q1, q2, w1, w2 = (state[..., i] for i in range(4))
        for _ in range(4):
            m11, m12, m22 = self.inertia(q2)
            h = 0.5 * self.mass * self.length**2 * xp.sin(q2)
            t1 = action[..., 0] - self.damping * w1 + h * w2 * (2 * w1 + w2)
            t2 = 0.5 * action[..., 1] - self.damping * w2 - h * w1**2
            determinant = m11 * m22 - m12**2
            w1, w2 = w1 + 0.0125 * (m22 * t1 - m12 * t2) / determinant, w2 + 0.0125 * (m11 * t2 - m12 * t1) / determinant
            q1, q2 = q1 + 0.0125 * w1, q2 + 0.0125 * w2
        return xp.concatenate((xp.stack((q1, q2, w1, w2), -1), state[..., 4:]), -1), reward
