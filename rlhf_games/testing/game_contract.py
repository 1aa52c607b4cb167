"""The contract suite of games: ``check_game`` for tests, ``GAME_RULES`` for tools that report rule by rule."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import DeviceGame, Game, Session, TimeStep, seats_out
from rlhf_games.core.keys import step_key
from rlhf_games.core.spaces import Box, Discrete
from rlhf_games.testing.play import (
    BatchRecord,
    DeviceBatch,
    Episode,
    choice_bounds,
    difference,
    play,
    random_action,
    record_batch,
)
from rlhf_games.testing.rule import Rule, demand, expect

_BATCH = 4
_MORE_SEEDS = 8
"""Further seeds tried before it is said that seeds make no difference: a single coin may fall the same way three times."""
_DRAWN = 120
"""Decisions per episode whose pictures are looked at."""
_LAYOUT_RANK = {"vector": 1, "grid": 3, "image": 3}


@dataclass(frozen=True, eq=False)
class GameSubject:
    """A game under test, with the episodes that several rules look at."""

    game: Game
    steps: int = 1_000
    """Decisions played per rule that plays."""
    seeds: Sequence[int] = (0, 1, 2)
    """Seeds of the single episodes."""
    deterministic: bool = False
    """Whether seeds are allowed to make no difference (a game without chance)."""
    rebuild: Callable[[str, Mapping[str, Any]], Game] | None = None
    """Makes the game again from name and options, as ``rlhf_games.workspace.load_game`` does; None skips that rule."""

    @cached_property
    def episodes(self) -> list[Episode]:
        """One recorded episode per seed, together at most ``steps`` decisions."""
        limit = max(1, self.steps // len(self.seeds))
        return [play(self.game, seed, limit) for seed in self.seeds]

    @cached_property
    def batch(self) -> BatchRecord:
        """``steps`` decisions of a batch with all the episodes that they make."""
        game = self.game
        batch = DeviceBatch(game, _BATCH) if isinstance(game, DeviceGame) else game.batch(_BATCH)
        try:
            return record_batch(batch, game.spec, _BATCH, self.steps, self.seeds[0])
        finally:
            batch.close()


def check_game(
    game: Game,
    *,
    steps: int = 1_000,
    seeds: Sequence[int] = (0, 1, 2),
    deterministic: bool = False,
    rebuild: Callable[[str, Mapping[str, Any]], Game] | None = None,
) -> None:
    """Checks every rule of the contract of games (``rlhf_games.core.game``) on ``game``.

    Args:
      game: a device or a host game.
      steps: decisions played by each rule that plays.
      seeds: seeds of the single episodes; the first also seeds the batch.
      deterministic: allows that seeds make no difference, for a game without chance.
      rebuild: makes the game again from ``(name, options)``, as ``rlhf_games.workspace.load_game`` does; None skips that rule.

    Raises:
      AssertionError: names every rule that is broken, and with what numbers.
    """
    demand(GAME_RULES, GameSubject(game, steps, seeds, deterministic, rebuild), game.spec.name)


def _spec_is_sane(subject: GameSubject) -> None:
    spec = subject.game.spec
    expect(all(spec.name.partition("/")), f"name must be 'family/game', got {spec.name!r}")
    expect(spec.version, "version is empty: replays need it")
    expect(spec.aim.strip(), "aim is empty: people need it")
    expect(spec.players >= 1, f"players must be at least 1, got {spec.players}")
    expect(0 < spec.decisions_per_second < math.inf, f"decisions_per_second is {spec.decisions_per_second}")
    expect(min(spec.frame_shape) > 0, f"frame_shape must be positive, got {spec.frame_shape}")
    top, left, height, width = spec.board_in_frame or (0, 0, *spec.frame_shape)
    inside = min(top, left) >= 0 < min(height, width) and top + height <= spec.frame_shape[0] and left + width <= spec.frame_shape[1]
    expect(inside, f"board_in_frame {spec.board_in_frame} must lie in a picture of {spec.frame_shape}")
    seen = spec.observation
    expect(seen.dtype in ("bool", "uint8", "float32"), f"observation dtype must be bool, uint8 or float32, got {seen.dtype!r}")
    rank = _LAYOUT_RANK[seen.layout]
    expect(len(seen.shape) == rank, f"layout {seen.layout!r} has {rank} axes, got shape {seen.shape}")
    expect(not seen.channels or len(seen.channels) == seen.shape[-1], f"{len(seen.channels)} channel names for {seen.shape[-1]} channels")
    if isinstance(spec.actions, Discrete):
        meanings = spec.actions.meanings
        expect(meanings, "a discrete space needs at least one action")
        expect(len(set(meanings)) == len(meanings), f"action meanings must differ, got {meanings}")


def _keys_are_valid(subject: GameSubject) -> None:
    spec = subject.game.spec
    for device, table in (("keys", spec.keys), ("buttons", spec.buttons)):
        if isinstance(spec.actions, Box):
            expect(not table, f"a box action has no index, but {device} are {table}")
        for chord, action in table.items():
            parts = chord.split("+")
            expect(all(part and part == part.strip().lower() for part in parts), f"{device}: {chord!r} is no (chord of) lower-case names")
            expect(0 <= action < spec.actions.n, f"{device}: {chord!r} means action {action}, but actions are 0 to {spec.actions.n - 1}")
    expect(0 <= spec.idle_action < spec.actions.n, f"idle_action is {spec.idle_action}, but actions are 0 to {spec.actions.n - 1}")


def _options_rebuild(subject: GameSubject) -> None:
    spec = subject.game.spec
    options = json.loads(json.dumps(spec.options))
    expect(options == spec.options, f"options change when written as JSON: {spec.options} became {options}")
    if subject.rebuild is None:
        return
    again = subject.rebuild(spec.name, options)
    expect(again.spec == spec, f"name and options make another spec: {again.spec} instead of {spec}")
    first = subject.episodes[0]
    _demand_same(first, play(again, first.seed, len(first.actions), first.actions), "in the game made again from name and options")


def _arrays_are_right(subject: GameSubject) -> None:
    spec = subject.game.spec
    expected = {
        "observation": ((spec.players, *spec.observation.shape), spec.observation.dtype),
        "reward": ((spec.players,), "float32"),
        "terminated": ((), "bool"),
        "truncated": ((), "bool"),
        "legal_action_mask": ((spec.players, spec.actions.n), "bool"),
        "acting": ((spec.players,), "bool"),
        "out": ((spec.players,), "bool"),
    }
    for episode, t, timestep in _moments(subject):
        where = f"at step {t} of seed {episode.seed}"
        for name, value in zip(TimeStep._fields, timestep, strict=True):
            if name == "out" and value is None:
                continue
            if value is None:
                raise AssertionError(f"{where} {name} is missing")
            shape, dtype = expected[name]
            expect((value.shape, str(value.dtype)) == (shape, dtype), f"{where} {name} is {value.dtype}{value.shape}, not {dtype}{shape}")
        expect(np.isfinite(timestep.reward).all(), f"{where} reward is {timestep.reward}")
        if timestep.observation.dtype == np.float32:
            expect(np.isfinite(timestep.observation).all(), f"{where} the observation has entries that are not finite")


def _regions_hold(subject: GameSubject) -> None:
    seen = subject.game.spec.observation
    if not seen.regions:
        return
    outside = np.ones(seen.shape, bool)
    for channel, (top, bottom, left, right) in enumerate(seen.regions):
        outside[top : bottom + 1, left : right + 1, channel] = False
    for episode in (*subject.episodes, *subject.batch.episodes):
        stray = np.argwhere(np.stack([timestep.observation != 0 for timestep in episode.steps]) & outside)
        if len(stray):
            t, _, row, column, channel = stray[0].tolist()
            where = f"at step {t} of seed {episode.seed} channel {channel} is set in row {row}, column {column}"
            raise AssertionError(f"{where}, outside its region {seen.regions[channel]}")


def _starts_are_fresh(subject: GameSubject) -> None:
    for episode in subject.episodes:
        first = episode.steps[0]
        expect(not first.reward.any(), f"seed {episode.seed} starts with reward {first.reward}")
        expect(not (first.terminated | first.truncated), f"seed {episode.seed} is over before it starts")


def _masks_allow_something(subject: GameSubject) -> None:
    spec = subject.game.spec
    for episode, t, timestep in _moments(subject):
        where = f"at step {t} of seed {episode.seed}"
        acting = int(timestep.acting.sum())
        if spec.turn_based:
            expect(acting == 1, f"{where} {acting} seats act in a turn-based game")
        else:
            missing = int((~timestep.acting & ~seats_out(timestep)).sum())
            expect(not missing, f"{where} {missing} of {spec.players} seats neither act nor are out in a simultaneous game")
        for seat in np.flatnonzero(timestep.acting):
            for start, end in choice_bounds(spec.actions):
                legal = timestep.legal_action_mask[seat, start:end]
                expect(legal.any(), f"{where} seat {seat} acts but has no legal action in [{start}, {end})")
        if isinstance(spec.actions, Box):
            expect(timestep.legal_action_mask.all(), f"{where} a box has no illegal actions, but the mask says so")


def _out_is_for_good(subject: GameSubject) -> None:
    for episode in (*subject.episodes, *subject.batch.episodes):
        gone = np.zeros(subject.game.spec.players, bool)
        for t, timestep in enumerate(episode.steps):
            where, out = f"at step {t} of seed {episode.seed}", seats_out(timestep)
            for what, broken in (("acts, but is out", out & timestep.acting), ("was out and is not any more", gone & ~out)):
                expect(not broken.any(), f"{where} seat {int(np.argmax(broken))} {what}")
            late = gone & (timestep.reward != 0)
            expect(not late.any(), f"{where} seat {int(np.argmax(late))} earns {timestep.reward[late].sum()}, but was out before")
            gone = out


def _one_kind_of_end(subject: GameSubject) -> None:
    for episode, t, timestep in _moments(subject):
        expect(not (timestep.terminated and timestep.truncated), f"step {t} of seed {episode.seed} is both terminated and truncated")
    for episode in subject.batch.episodes:
        last = episode.steps[-1]
        both = bool(last.terminated and last.truncated)
        expect(not both, f"in a batch, seed {episode.seed} is both terminated and truncated after {len(episode.actions)} steps")


def _same_seed_same_game(subject: GameSubject) -> None:
    for episode in subject.episodes:
        again = play(subject.game, episode.seed, len(episode.actions), episode.actions)
        _demand_same(episode, again, "the second time")


def _seeds_matter(subject: GameSubject) -> None:
    if subject.deterministic:
        return
    first = subject.episodes[0]
    others = [*subject.seeds[1:], *range(1_000, 1_000 + _MORE_SEEDS)]
    for seed in others:
        other = play(subject.game, seed, len(first.actions), first.actions)
        if len(other.steps) != len(first.steps) or any(difference(a, b) for a, b in zip(first.steps, other.steps, strict=True)):
            return
    raise AssertionError(
        f"seed {first.seed} and {len(others)} others play {len(first.actions)} steps alike; check a game without chance as deterministic"
    )


def _batch_is_single(subject: GameSubject) -> None:
    record = subject.batch
    expect(not record.complaints, next(iter(record.complaints), ""))
    for number, episode in enumerate(record.episodes):
        again = play(subject.game, episode.seed, len(episode.actions), episode.actions)
        _demand_same(episode, again, f"in a session, for episode {number} of {len(record.episodes)} of a batch of {_BATCH}")


def _misuse_is_refused(subject: GameSubject) -> None:
    for episode in subject.episodes:
        if not episode.ended:
            continue
        session = subject.game.open(episode.seed)
        for action in episode.actions:
            session.step(action)
        try:
            session.step(episode.actions[-1])
        except RuntimeError:
            session.close()
            session.close()
            return
        raise AssertionError(f"seed {episode.seed} is over after {len(episode.actions)} steps, but the session plays on instead of raising")
    session = subject.game.open(subject.seeds[0])
    session.close()
    session.close()


def _branches_are_independent(subject: GameSubject) -> None:
    episode = max(subject.episodes, key=lambda e: len(e.actions))
    middle = min(len(episode.actions) // 2, 100)
    last = min(len(episode.actions), middle + 100)
    session = subject.game.open(episode.seed)
    for action in episode.actions[:middle]:
        session.step(action)
    copy, stray = session.branch(), session.branch()
    _wander(subject, stray, last - middle)
    for t in range(middle, last):
        for what, player in (("a branch", copy), ("the game that was branched", session)):
            text = difference(episode.steps[t], player.timestep) or difference(episode.steps[t + 1], player.step(episode.actions[t]))
            expect(not text, f"{what} at step {middle} of seed {episode.seed} goes another way by step {t + 1}: {text}")
    for player in (stray, copy, session):
        player.close()


def _wander(subject: GameSubject, session: Session, steps: int) -> None:
    """Plays other actions than the recorded ones."""
    rng = np.random.default_rng(991)
    for _ in range(steps):
        timestep = session.timestep
        if timestep.terminated or timestep.truncated:
            return
        session.step(random_action(subject.game.spec, timestep.legal_action_mask, rng))


def _pictures_are_right(subject: GameSubject) -> None:
    game, episode = subject.game, max(subject.episodes, key=lambda e: len(e.actions))
    session = game.open(episode.seed)
    first = _demand_frames(session, "after opening")
    moved = changed = False
    for t, action in enumerate(episode.actions[:_DRAWN]):
        session.step(action)
        frames = _demand_frames(session, f"after step {t + 1} of seed {episode.seed}")
        moved = moved or bool((episode.steps[t + 1].observation != episode.steps[0].observation).any())
        changed = changed or bool((frames != first[-1]).any())
    session.close()
    played = min(_DRAWN, len(episode.actions))
    expect(changed or not moved, f"the observation changes within {played} steps of seed {episode.seed}, the picture never does")


def _demand_frames(session: Session, when: str) -> NDArray[np.uint8]:
    frames = session.frames()
    shape = session.spec.frame_shape
    ok = frames.dtype == np.uint8 and frames.ndim == 4 and len(frames) >= 1 and frames.shape[1:] == (*shape, 3)
    expect(ok, f"{when} frames are {frames.dtype}{frames.shape}, not uint8(F, {shape[0]}, {shape[1]}, 3) with F ≥ 1")
    return frames


def _state_keeps_its_shape(subject: GameSubject) -> None:
    game = subject.game
    if not isinstance(game, DeviceGame):
        return
    action = np.zeros((game.spec.players, *game.spec.actions.shape), game.spec.actions.dtype)
    shapes = jax.eval_shape(game.init, step_key(0, 0))
    after = jax.eval_shape(game.step, shapes, action, step_key(0, 1))
    expect(
        str(jax.tree.structure(after)) == str(jax.tree.structure(shapes)),
        "step changes the structure of the state: lax.scan cannot carry it",
    )
    for (path, one), other in zip(jax.tree_util.tree_leaves_with_path(shapes), jax.tree.leaves(after), strict=True):
        where = jax.tree_util.keystr(path)
        same = (one.shape, one.dtype) == (other.shape, other.dtype)
        expect(same, f"state{where} is {one.dtype}{one.shape}, after a step {other.dtype}{other.shape}")


def _moments(subject: GameSubject) -> list[tuple[Episode, int, TimeStep[NDArray[Any]]]]:
    return [(episode, t, timestep) for episode in subject.episodes for t, timestep in enumerate(episode.steps)]


def _demand_same(expected: Episode, found: Episode, when: str) -> None:
    for t, (one, other) in enumerate(zip(expected.steps, found.steps, strict=False)):
        text = difference(one, other)
        expect(not text, f"seed {expected.seed} with the same actions goes another way {when}, at step {t}: {text}")
    expect(
        len(expected.steps) == len(found.steps),
        f"seed {expected.seed} with the same {len(expected.actions)} actions lasts {len(found.actions)} steps {when}",
    )


GAME_RULES: tuple[Rule[GameSubject], ...] = (
    Rule("spec", "the description is complete and its shapes, names and numbers fit together", _spec_is_sane),
    Rule("keys", "keys, buttons and the idle action mean actions that exist", _keys_are_valid),
    Rule("arrays", "time steps have the shapes and dtypes of the description and finite numbers", _arrays_are_right),
    Rule("regions", "each channel of a grid is 0 outside the region where it is said to be", _regions_hold),
    Rule("start", "an episode starts with reward 0 and is not over", _starts_are_fresh),
    Rule("masks", "who acts fits the kind of game, and has at least one legal action", _masks_allow_something),
    Rule("out", "a seat that is out does not act, earns nothing more, and stays out until the episode ends", _out_is_for_good),
    Rule("determinism", "the same seed and actions play the same game", _same_seed_same_game),
    Rule("seeds", "another seed plays another game (unless the game is deterministic)", _seeds_matter),
    Rule("options", "options survive JSON, and name and options make the same game again", _options_rebuild),
    Rule("state", "a device game's step keeps the structure, shapes and dtypes of its state", _state_keeps_its_shape),
    Rule("batch", "games in a batch play exactly what single sessions play, later episodes too", _batch_is_single),
    Rule("ends", "no step is both terminated and truncated", _one_kind_of_end),
    Rule("misuse", "a session that is over refuses to play on, and closing twice is harmless", _misuse_is_refused),
    Rule("branch", "a branch shares nothing that changes with the game it came from", _branches_are_independent),
    Rule("pictures", "pictures are uint8, of the described size, and change when the game does", _pictures_are_right),
)
"""Every rule of the contract, cheap ones first."""
