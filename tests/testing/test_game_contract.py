"""The contract suite of games finds what it says it finds: every rule is broken once, on purpose."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.core.session import DeviceSession
from rlhf_games.core.spaces import Observation
from rlhf_games.testing import GAME_RULES, IDENTITY_PROBES, ONE_STEP_PROBES, GameSubject, Probe, check_game, verdicts
from rlhf_games.testing.probes import (
    ActionReward,
    ConstantReward,
    DelayedReward,
    IdentityBox,
    IdentityDiscrete,
    MatchObservation,
    ObservedReward,
)


@pytest.mark.parametrize("game", [*ONE_STEP_PROBES, *IDENTITY_PROBES], ids=lambda game: game.probe)
def test_probe_games_fulfil_the_contract(game: Probe) -> None:
    check_game(game, steps=200, deterministic=isinstance(game, ConstantReward | DelayedReward | ActionReward))


class Walk(IdentityDiscrete):
    """A sound game of five steps; the games below each break one rule of it."""

    length = 5


def described(**changes: Any) -> type[Walk]:
    """A walk whose description is wrong."""

    class Described(Walk):
        @property
        def spec(self) -> Any:
            return dataclasses.replace(super().spec, **changes)

    return Described


def stepping(change: Callable[[Any], Any]) -> type[Walk]:
    """A walk whose time steps are changed."""

    class Stepping(Walk):
        def timestep(self, state: Any) -> Any:
            return change(super().timestep(state))

    return Stepping


class Session(DeviceSession):
    """A session to be spoilt."""

    def spoil(self, **changes: Any) -> None:
        self.__dict__.update(changes)


class Restless(Walk):
    """Opens another seed each time."""

    count = itertools.count()

    def open(self, seed: int) -> Any:
        return DeviceSession(self, seed + next(self.count))


class Apart(Walk):
    """Sessions play another seed than batches do, but always the same."""

    def open(self, seed: int) -> Any:
        return DeviceSession(self, seed + 1)


class Endless(Session):
    """Plays on after the end."""

    def step(self, action: Any) -> Any:
        over = np.zeros((), bool)
        self.spoil(_timestep=self.timestep._replace(terminated=over, truncated=over))
        return super().step(action)


class Tied(Session):
    """A branch is the game itself."""

    def branch(self) -> Any:
        return self


class Blind(Session):
    """Always the same picture."""

    def frames(self) -> Any:
        return np.zeros((1, *self.spec.frame_shape, 3), np.uint8)


class Thin(Session):
    """Pictures without their last row."""

    def frames(self) -> Any:
        return super().frames()[:, :-1]


def opening(kind: type[Session]) -> type[Walk]:
    """A walk with spoilt sessions."""

    class Opening(Walk):
        def open(self, seed: int) -> Any:
            return kind(self, seed)

    return Opening


class Growing(Walk):
    """The state changes its dtype."""

    def step(self, state: Any, action: Any, key: Any) -> Any:
        after = super().step(state, action, key)
        return after._replace(t=after.t.astype(jnp.float32))


class Chanceless(Walk):
    """Ignores its keys."""

    def observe(self, key: Any, t: Any) -> Any:
        return jax.nn.one_hot(t % self.size, self.size)


class Stray(Walk):
    """A grid of one row, said to be set in its first two cells only."""

    @property
    def spec(self) -> Any:
        return dataclasses.replace(super().spec, observation=Observation((1, self.size, 1), "float32", "grid", (), ((0, 0, 0, 1),)))

    def timestep(self, state: Any) -> Any:
        seen = super().timestep(state)
        return seen._replace(observation=seen.observation.reshape(1, 1, self.size, 1))


BROKEN: list[tuple[str, str, type[Walk]]] = [
    ("spec", "family/game", described(name="walk")),
    ("spec", "aim is empty", described(aim=" ")),
    ("spec", "decisions_per_second is 0", described(decisions_per_second=0.0)),
    ("spec", "board_in_frame (0, 0, 33, 128) must lie in", described(board_in_frame=(0, 0, 33, 128))),
    ("keys", "means action 4, but actions are 0 to 3", described(keys={"left": 4})),
    ("keys", "'Left' is no", described(keys={"Left": 1})),
    ("keys", "idle_action is 9", described(idle_action=9)),
    ("options", "options change when written as JSON", described(options={"sizes": (1, 2)})),
    ("arrays", "reward is float16", stepping(lambda t: t._replace(reward=t.reward.astype(jnp.float16)))),
    ("arrays", "reward is [nan]", stepping(lambda t: t._replace(reward=t.reward * jnp.nan))),
    ("arrays", "observation is float32(1, 3)", stepping(lambda t: t._replace(observation=t.observation[:, 1:]))),
    ("regions", "outside its region (0, 0, 0, 1)", Stray),
    ("start", "starts with reward [1.]", stepping(lambda t: t._replace(reward=t.reward * 0 + 1))),
    ("masks", "has no legal action", stepping(lambda t: t._replace(legal_action_mask=t.legal_action_mask & False))),
    ("masks", "0 seats act", stepping(lambda t: t._replace(acting=t.acting & False))),
    ("out", "seat 0 acts, but is out", stepping(lambda t: t._replace(out=t.acting))),
    (
        "out",
        "seat 0 earns 1.0, but was out before",
        stepping(lambda t: t._replace(out=t.acting | True, acting=t.acting & False, reward=t.reward * 0 + 1)),
    ),
    ("arrays", "out is int32(1,)", stepping(lambda t: t._replace(out=t.acting.astype(jnp.int32)))),
    ("ends", "both terminated and truncated", stepping(lambda t: t._replace(truncated=t.terminated))),
    ("determinism", "goes another way the second time", Restless),
    ("batch", "goes another way in a session", Apart),
    ("seeds", "check a game without chance as deterministic", Chanceless),
    ("state", "state.t is int32(), after a step float32()", Growing),
    ("misuse", "plays on instead of raising", opening(Endless)),
    ("branch", "goes another way", opening(Tied)),
    ("pictures", "the picture never does", opening(Blind)),
    ("pictures", "uint8(1, 31, 128, 3)", opening(Thin)),
]


@pytest.mark.parametrize(("name", "message", "kind"), BROKEN, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(BROKEN)])
def test_a_broken_rule_is_found_and_explained(name: str, message: str, kind: type[Walk]) -> None:
    (rule,) = [rule for rule in GAME_RULES if rule.name == name]
    (verdict,) = verdicts([rule], GameSubject(kind(), steps=40))
    assert message in verdict.problem


def test_every_rule_is_broken_by_some_test() -> None:
    assert {name for name, _, _ in BROKEN} == {rule.name for rule in GAME_RULES}


def test_check_game_names_every_broken_rule_at_once() -> None:
    class Bad(Walk):
        @property
        def spec(self) -> Any:
            return dataclasses.replace(super().spec, version="", idle_action=7)

    with pytest.raises(AssertionError, match="breaks 2 of") as caught:
        check_game(Bad(), steps=20)
    assert "version is empty" in str(caught.value)
    assert "idle_action is 7" in str(caught.value)


def test_options_rule_compares_with_the_game_made_again() -> None:
    (rule,) = [rule for rule in GAME_RULES if rule.name == "options"]
    same = GameSubject(IdentityDiscrete(size=3), steps=20, rebuild=lambda name, options: IdentityDiscrete(**options))
    other = GameSubject(IdentityDiscrete(size=3), steps=20, rebuild=lambda name, options: IdentityDiscrete(size=5))
    assert [next(verdicts([rule], subject)).problem[:40] for subject in (same, other)] == ["", "name and options make another spec: Game"]


def test_a_crash_is_a_verdict_too() -> None:
    class Crashing(Walk):
        def timestep(self, state: Any) -> Any:
            raise ZeroDivisionError("no time")

    (rule,) = [rule for rule in GAME_RULES if rule.name == "arrays"]
    assert next(verdicts([rule], GameSubject(Crashing(), steps=4))).problem == "ZeroDivisionError: no time"


@pytest.mark.parametrize("game", [MatchObservation(), IdentityDiscrete(), IdentityBox(), ActionReward()], ids=lambda game: game.probe)
def test_the_answers_of_a_probe_earn_what_they_promise(game: Probe) -> None:
    answers = game.answers(0.9)
    assert answers.action is not None
    earned = [game.reward(jnp.asarray(o), jnp.asarray(a), jnp.int32(0)) for o, a in zip(answers.observation, answers.action, strict=True)]
    assert np.allclose(earned, answers.value)


def test_the_values_of_probes_without_choice_are_their_returns() -> None:
    for game, discount in ((ConstantReward(), 0.9), (ObservedReward(), 0.9), (DelayedReward(), 0.7)):
        for seed in range(4):
            session, rewards = game.open(seed), []
            first = session.timestep.observation[0]
            while not session.timestep.terminated:
                rewards.append(float(session.step(np.zeros(1, np.int32)).reward[0]))
            promised = game.answers(discount)
            (row,) = np.flatnonzero((promised.observation == first).all(axis=1))
            assert sum(reward * discount**t for t, reward in enumerate(rewards)) == pytest.approx(promised.value[row])


def test_nothing_is_checked_by_assert() -> None:
    """Python leaves assertions out under PYTHONOPTIMIZE. What is left of them in the framework tells the type checker what is known."""
    source = Path(__file__).resolve().parents[2] / "rlhf_games"
    nodes = [node for path in source.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    tests = [ast.unparse(node.test) for node in nodes if isinstance(node, ast.Assert)]
    narrowing = re.compile(r"[\w.\[\]]+ is (not )?None|(not )?isinstance\([\w.\[\]]+, [\w. |]+\)|not self\._pictures")
    assert [test for test in tests if not narrowing.fullmatch(test)] == []
    assert not [path for path in (source / "testing").rglob("*.py") if "    assert " in path.read_text(encoding="utf-8")]


GENEROUS = '''
from dataclasses import dataclass, replace

from rlhf_games.testing import ConstantReward

@dataclass(frozen=True)
class Options:
    """None."""

class Generous(ConstantReward):
    """Pays before anything is done, and does not say what it is about."""

    @property
    def spec(self):
        return replace(super().spec, name="mine/one", aim=" ")

    def timestep(self, state):
        seen = super().timestep(state)
        return seen._replace(reward=seen.reward + 1)

def make(name, options):
    return Generous()
'''


def test_a_broken_game_is_refused_without_assertions(make_lab: Callable[..., Path]) -> None:
    lab = make_lab("lab", "mine")
    (lab / "games" / "mine" / "game.py").write_text(GENEROUS)
    command = [sys.executable, "-P", "-m", "rlhf_games", "--workspace", str(lab), "check", "game", "mine/one", "--steps", "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONOPTIMIZE": "1"})
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL  spec" in done.stdout
    assert "aim is empty: people need it" in done.stdout
    assert "FAIL  start" in done.stdout
    assert "starts with reward [1.]" in done.stdout
