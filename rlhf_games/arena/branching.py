"""What if: from one state of an episode the game goes on with another action, and then the policy plays."""

from __future__ import annotations

from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.films import Footage, Strip
from rlhf_games.arena.insight import Mind, paid, policy_key
from rlhf_games.arena.tape import Seen, Tape

SECONDS = 3.0
"""How long a branch is, at the game's natural speed."""


class Branch(NamedTuple):
    """One way in which it could go on."""

    film: Footage
    step: NDArray[np.int32]
    """``[F]``: the branch's decision (from 0) that each picture came of; the first picture, of the state itself, belongs to 0."""
    actions: NDArray[Any]
    """``[n, P, ...]`` what was played."""
    reward: NDArray[np.float32]
    """``[M, n]`` what the ensemble's members pay the seat for it."""
    ended: bool
    """The game was over."""


class Fork(NamedTuple):
    """Two branches of one state, chosen with the same keys."""

    t: int
    seat: int
    action: int
    chosen: Branch
    """The person's action first, then the policy."""
    policy: Branch
    """The policy from the start."""


def branch_steps(decisions_per_second: float) -> int:
    """Decisions in a branch: about three seconds, at least one."""
    return max(1, round(SECONDS * decisions_per_second))


def fork(tape: Tape, mind: Mind, t: int, seat: int, action: int) -> Fork:
    """Plays both branches; ``action`` must be legal for the seat at decision ``t``."""
    return Fork(t, seat, action, play_on(tape, mind, t, seat, action), play_on(tape, mind, t, seat, None))


def play_on(tape: Tape, mind: Mind, t: int, seat: int, action: int | None) -> Branch:
    """Plays one branch from position ``t``.

    Args:
      tape: the episode.
      mind: plays all seats.
      t: where the branch begins.
      seat: who takes ``action``, and whose reward is predicted.
      action: the seat's first action; None: the policy chooses that too.
    """
    pictures, actions, seen = [], [], []
    with closing(tape.session_at(t)) as session:
        before = session.timestep
        pictures.append(session.frames()[-1:])
        steps = [0]
        for k in range(branch_steps(tape.spec.decisions_per_second)):
            key = policy_key(tape.replay.seed, t + k)
            chosen = np.array(mind.policy(before.observation, key, before.legal_action_mask))
            if k == 0 and action is not None:
                chosen[seat] = action
            after = session.step(chosen)
            pictures.append(session.frames())
            steps += [k] * len(pictures[-1])
            actions.append(chosen)
            seen.append((before.observation, after.observation, chosen, before.legal_action_mask, after.reward))
            before = after
            if after.terminated or after.truncated:
                break
    ended = bool(before.terminated) or bool(before.truncated)
    rate = tape.spec.decisions_per_second * max(len(shown) for shown in pictures)
    film = Footage(Strip(np.concatenate(pictures)), rate, tape.replay.game, tape.replay.players, ended)
    members = paid(mind, Seen(t, *(np.stack(column) for column in zip(*seen, strict=True))))
    return Branch(film, np.array(steps, np.int32), np.stack(actions), members[:, :, seat], ended)
