"""CartPole and a pendulum to swing up: Gymnasium's equations, in whole numbers.

CartPole earns 1 for every step until the pole falls, so its score is the length of the episode. All episodes of the pendulum have the
same length, so comparisons of its clips can never say what a step is worth in itself.

States are kept in fixed point (parts of 4,096): sines, products and quotients of floats differ in their last bits from one compiled
program to another, and a replay must give the same episode again.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rlhf_games.core.game import GameSpec, Session, TimeStep
from rlhf_games.core.session import DeviceSession
from rlhf_games.core.spaces import ActionSpace, Box, Discrete, Observation

_SIZE = 160
"""Height and width of a picture, in pixels."""
_ONE = 4096
"""1 (metre, radian, second, newton) in fixed point."""
_TURN = 4096
"""Angles of the pendulum are counted in so many parts of a turn; a radian has 652 of them."""
_FASTEST = 8 * _ONE
_SINE = np.round(np.sin(np.arange(_TURN) * (2.0 * np.pi / _TURN)) * _ONE).astype(np.int32)
_INK, _POLE, _PAPER = (40, 48, 60), (214, 120, 54), (238, 238, 232)


@dataclass(frozen=True)
class Options:
    """What can be chosen about both games."""

    limit: int = 500
    """Steps after which an episode is truncated (Gymnasium: 500 for CartPole, 200 for Pendulum)."""

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"limit must be at least 1, got {self.limit}")


class State(NamedTuple):
    """One game at one moment."""

    body: jax.Array
    """int32: CartPole ``[4]`` (x, its speed, angle, its speed), pendulum ``[2]`` (angle, its speed)."""
    reward: jax.Array
    """``[]`` float32 earned by the last action."""
    terminated: jax.Array
    """``[]`` bool."""
    steps: jax.Array
    """``[]`` int32 played."""


def _times(a: jax.Array | int, b: jax.Array | int) -> Any:
    """Product of two numbers in fixed point."""
    return (a * b) // _ONE


class _CartPole:
    """Barto, Sutton & Anderson 1983, with Gymnasium's constants; sine and cosine to the third order (angles stay below 0.21)."""

    features = ("x", "x speed", "angle", "angular speed")
    actions: ActionSpace = Discrete(("push left", "push right"))
    rate = 50.0

    def initial(self, key: jax.Array) -> jax.Array:
        return jax.random.randint(key, (4,), -205, 206)  # ±0.05

    def step(self, body: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        x, speed, angle, turning = body
        square = _times(angle, angle)
        sine, cosine = angle - _times(angle, square) // 6, _ONE - square // 2
        force = (2 * action - 1) * (10 * _ONE)
        # 0.05 = mass of the pole × half its length; 1.1 = both masses
        pushed = (force + _times(_times(turning, turning), sine) // 20) * 10 // 11
        resistance = (_ONE * 4 // 3 - _times(cosine, cosine) // 11) // 2
        twist = (98 * sine // 10 - _times(cosine, pushed)) * 64 // resistance * 64
        push = pushed - _times(twist, cosine) // 22
        after = jnp.stack([x + speed // 50, speed + push // 50, angle + turning // 50, turning + twist // 50])
        over = (jnp.abs(after[0]) > 9830) | (jnp.abs(after[2]) > 858)  # 2.4; 12°
        return after, jnp.float32(1.0), over

    def observe(self, body: jax.Array) -> jax.Array:
        return body.astype(jnp.float32) / _ONE

    def pose(self, body: NDArray[Any]) -> tuple[float, float]:
        return float(body[0]) / 9830, float(body[2]) / _ONE


class _Pendulum:
    """Angle 0 is upright."""

    features = ("cos angle", "sin angle", "angular speed")
    actions: ActionSpace = Box((1,), (-2.0,), (2.0,))
    rate = 20.0

    def initial(self, key: jax.Array) -> jax.Array:
        angle, speed = jax.random.split(key)
        return jnp.stack([jax.random.randint(angle, (), 0, _TURN), jax.random.randint(speed, (), -_ONE, _ONE + 1)])

    def step(self, body: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        angle, speed = body
        torque = jnp.round(jnp.clip(action[0], -2.0, 2.0) * _ONE).astype(jnp.int32)
        off = (angle + _TURN // 2) % _TURN - _TURN // 2  # -half a turn to half a turn
        radians = off * _ONE // 652
        # squares of numbers up to 8 · 4096 leave no room in 32 bits: parts of 64
        cost = (radians // 64) ** 2 + (speed // 64) ** 2 // 10 + (torque // 64) ** 2 // 1000
        # ω' = ω + (3 g / 2 l · sin θ + 3 / m l² · u) dt with g = 10, m = l = 1, dt = 1/20
        faster = jnp.clip(speed + 15 * jnp.asarray(_SINE)[angle] // 20 + 3 * torque // 20, -_FASTEST, _FASTEST)
        turned = (angle + faster * 163 // (_ONE * 5)) % _TURN  # 652 parts of a radian, a twentieth of a second
        return jnp.stack([turned, faster]), -cost.astype(jnp.float32) / _ONE, jnp.bool_(False)

    def observe(self, body: jax.Array) -> jax.Array:
        sine = jnp.asarray(_SINE)
        both = jnp.stack([sine[(body[0] + _TURN // 4) % _TURN], sine[body[0]], body[1]])
        return both.astype(jnp.float32) / _ONE

    def pose(self, body: NDArray[Any]) -> tuple[float, float]:
        return 0.0, float(body[0]) * 2.0 * np.pi / _TURN


_BODIES: dict[str, Any] = {"cartpole": _CartPole(), "pendulum": _Pendulum()}


@dataclass(frozen=True)
class ClassicControl:
    """One of the two games."""

    name: str
    options: Options

    @property
    def _body(self) -> Any:
        return _BODIES[self.name]

    @cached_property
    def spec(self) -> GameSpec:
        """The game's description."""
        family = Path(__file__).parent
        cards = tomllib.loads((family / "cards.toml").read_text(encoding="utf-8"))["game"]
        card = next(card for card in cards if card["name"] == self.name)
        return GameSpec(
            name=f"{family.name}/{self.name}",
            version="1",
            players=1,
            observation=Observation((len(self._body.features),), "float32", "vector", self._body.features),
            actions=self._body.actions,
            decisions_per_second=self._body.rate,
            turn_based=False,
            aim=card["aim"],
            options=dataclasses.asdict(self.options),
            keys={"left": 0, "right": 1} if isinstance(self._body.actions, Discrete) else {},
            frame_shape=(_SIZE, _SIZE),
        )

    def init(self, key: jax.Array) -> State:
        """The start of an episode; the key is consumed."""
        return State(self._body.initial(key), jnp.float32(0.0), jnp.bool_(False), jnp.int32(0))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """The next state; ``action`` is ``[1]`` int32 or ``[1, 1]`` float32; chance plays no part."""
        body, reward, over = self._body.step(state.body, action[0])
        return State(body, reward, over, state.steps + 1)

    def timestep(self, state: State) -> TimeStep[jax.Array]:
        """What the player sees."""
        return TimeStep(
            observation=self._body.observe(state.body)[None],
            reward=state.reward[None],
            terminated=state.terminated,
            truncated=~state.terminated & (state.steps >= self.options.limit),
            legal_action_mask=jnp.ones((1, self._body.actions.n), bool),
            acting=jnp.ones((1,), bool),
        )

    def draw(self, state: State) -> NDArray[np.uint8]:
        """A picture of one state: the pole, and where it stands."""
        offset, angle = self._body.pose(np.asarray(state.body))
        picture = Image.new("RGB", (_SIZE, _SIZE), _PAPER)
        pen = ImageDraw.Draw(picture)
        middle, height = _SIZE / 2 * (1.0 + 0.8 * offset), _SIZE * (0.7 if self.name == "cartpole" else 0.5)
        tip = (middle + 60 * np.sin(angle), height - 60 * np.cos(angle))
        pen.rectangle((middle - 16, height, middle + 16, height + 10), fill=_INK)
        pen.line((middle, height, *tip), fill=_POLE, width=6)
        return np.asarray(picture, np.uint8)

    def open(self, seed: int) -> Session:
        """One interactive game."""
        return DeviceSession(self, seed)


def make(name: str, options: Options) -> ClassicControl:
    """Builds the family's game ``name``."""
    if name not in _BODIES:
        raise ValueError(f"cards.toml names a game {name!r} that game.py does not have")
    return ClassicControl(name, options)
