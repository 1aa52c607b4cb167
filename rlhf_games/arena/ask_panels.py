"""The two panels of Ask: what the policy thinks of a decision, and the branches of a what-if."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.actions_view import Bars, keys_of, paint_bars
from rlhf_games.arena.asking import AskSession
from rlhf_games.arena.branching import Branch
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.figures import figure
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.pen import Pen, fit
from rlhf_games.arena.reel_view import TURNS
from rlhf_games.arena.timeline_view import graph
from rlhf_games.core.spaces import Discrete

_GRAPH = 64
"""Height of a branch's curve, in design pixels."""


class _Thoughts(NamedTuple):
    """What the panel shows."""

    t: int
    seat: str
    bars: Bars | None
    value: str
    reward: str
    looks_at: str
    words: str
    turn: int


def draw_thoughts(canvas: Canvas, rect: Rect, session: AskSession, keymap: Keymap, now: float) -> None:
    """The panel beside the state."""
    thoughts = _thoughts(session, keymap, now)
    canvas.part("thoughts", rect, thoughts, lambda pen: _paint_thoughts(pen, thoughts))


def _thoughts(session: AskSession, keymap: Keymap, now: float) -> _Thoughts:
    tape, thought = session.reel.tape, session.thought
    seat = f" · SEAT {session.seat}" if tape.spec.players > 1 else ""
    if not session.decision:
        ended = "The episode is over." if tape.replay.ended != "unfinished" else "The recording ends here."
        return _Thoughts(session.t, seat, None, "", "", "", ended if tape.done else "Not played yet.", 0)
    loading = session.reel.mind is not None and thought is None and not session.reel.thinking_problem
    value = "" if thought is None else figure(thought.value, ".3g")
    reward = "" if thought is None else f"{figure(float(thought.reward.mean()), '+.3f')} ± {thought.reward.std():.3f}"
    return _Thoughts(
        session.t, seat, _bars(session, keymap), value, reward, _looks_at(session), "", int(now * TURNS) % TURNS if loading else -1
    )


def _bars(session: AskSession, keymap: Keymap) -> Bars | None:
    actions, thought = session.reel.tape.spec.actions, session.thought
    if not isinstance(actions, Discrete):
        return None
    return Bars(
        actions.meanings,
        None if thought is None else tuple(np.round(thought.probabilities, 4).tolist()),
        tuple(session.legal.tolist()),
        session.taken,
        None,
        keys_of(session.keys(keymap), actions.n),
        bool(session.choosing),
    )


def _looks_at(session: AskSession) -> str:
    """The planes that the reward of this step hangs on most, in words."""
    salient, channels = session.salient, session.reel.tape.spec.observation.channels
    if not session.overlay or salient is None:
        return ""
    if salient.strongest == 0:
        return "its reward for this step hangs on no single place"
    if session.reel.tape.spec.observation.layout == "vector":
        return ""  # bars beside the picture say it
    if len(salient.channels) != len(channels) or not len(channels):
        return f"up to {salient.strongest:.3f} from one place"
    most = np.argsort(-salient.channels)[:3]
    named = [f"{channels[i].replace('_', ' ')} {salient.channels[i]:.2f}" for i in most if salient.channels[i] > 0]
    return ", ".join(named)


def _paint_thoughts(pen: Pen, thoughts: _Thoughts) -> None:
    pen.box(pen.area)
    pad = pen.px(18)
    width = pen.area.w - 2 * pad
    pen.text((pad, pen.px(14)), f"DECISION {thoughts.t}{thoughts.seat}", "label", theme.MUTED)
    if thoughts.words:
        pen.paragraph((pad, pen.px(44)), thoughts.words, width, 3)
        return
    facts = [("value", thoughts.value), ("learned reward", thoughts.reward)]
    facts += [("looks at", thoughts.looks_at)] if thoughts.looks_at else []
    bottom = pen.area.bottom - pen.px(14) - len(facts) * pen.px(28)
    if thoughts.turn >= 0:
        pen.spinner((pen.area.right - pad - pen.px(12), pen.px(30)), thoughts.turn / TURNS)
    if thoughts.bars is not None:
        legend = "◆ was done" if thoughts.bars.taken is not None else ""
        pen.text((pen.area.right - pad - (pen.px(40) if thoughts.turn >= 0 else 0), pen.px(14)), legend, "label", theme.AMBER, "topright")
        paint_bars(pen, Rect(pad, pen.px(44), width, bottom - pen.px(52)), thoughts.bars)
    for number, (name, words) in enumerate(facts):
        y = bottom + number * pen.px(28)
        pen.text((pad, y), name, "small", theme.MUTED)
        pen.text((pen.area.right - pad, y), words or "–", "small", theme.TEXT, "topright", width - pen.text_width(name, "small") - pad)


# What if


def draw_fork(canvas: Canvas, rect: Rect, session: AskSession) -> None:
    """Both branches, side by side."""
    fork = session.fork
    assert fork is not None
    actions = session.reel.tape.spec.actions
    assert isinstance(actions, Discrete)
    gap = canvas.px(16)
    width = (rect.w - gap) // 2
    titles = (
        f"YOU: {actions.meanings[fork.action]}, THEN THE AGENT",
        f"THE AGENT: {actions.meanings[int(fork.policy.actions[0, fork.seat])]}",
    )
    scale = max(float(np.abs(branch.reward).max(initial=1e-6)) for branch in (fork.chosen, fork.policy))
    longest = max(len(branch.actions) for branch in (fork.chosen, fork.policy))
    for place, (title, branch) in enumerate(zip(titles, (fork.chosen, fork.policy), strict=True)):
        _draw_branch(canvas, Rect(rect.x + place * (width + gap), rect.y, width, rect.h), session, place, title, branch, (scale, longest))


def _draw_branch(canvas: Canvas, rect: Rect, session: AskSession, place: int, title: str, branch: Branch, axes: tuple[float, int]) -> None:
    """``axes``: the greatest reward and the number of decisions of both branches: they are drawn alike."""
    playback = session.playback
    number = playback.frame(place)
    over = playback.over(place)
    name = (title, session.reel.replay_id, session.t, place)
    canvas.part(f"branch {place}", rect, (name, over and branch.ended), lambda pen: _paint_branch(pen, title, branch, over))
    pad, top, bottom = canvas.px(14), canvas.px(38), canvas.px(_GRAPH + 20)
    inner = Rect(rect.x + pad, rect.y + top, rect.w - 2 * pad, rect.h - top - bottom)
    if inner.w <= 0 or inner.h <= 0:
        return
    size, _ = fit(branch.film.size, inner.size)
    where = Rect((0, 0), size)
    where.center = inner.center
    key = (name, over and branch.ended, number)
    canvas.part(f"film {place}", where, key, lambda pen: pen.picture(branch.film.frames[number], pen.area), theme.PANEL)
    curve = Rect(inner.x, rect.bottom - canvas.px(_GRAPH + 10), inner.w, canvas.px(_GRAPH))
    step = int(branch.step[number])
    canvas.part(f"curve {place}", curve, (key[:2], step), lambda pen: _paint_curve(pen, branch, step, *axes), theme.PANEL)


def _paint_branch(pen: Pen, title: str, branch: Branch, over: bool) -> None:
    pad = pen.px(14)
    pen.box(pen.area)
    total = f"{figure(float(branch.reward.mean(0).sum()), '+.2f')} learned"
    edge = pen.text((pen.area.right - pad, pen.px(10)), total, "label", theme.TEXT, "topright")
    words = title + (" · GAME OVER" if over and branch.ended else "")
    pen.text((pad, pen.px(10)), words, "label", theme.AMBER if over and branch.ended else theme.BLUE, width=edge.x - 2 * pad)


def _paint_curve(pen: Pen, branch: Branch, step: int, scale: float, longest: int) -> None:
    played = branch.reward.shape[1]
    mean, spread = (np.pad(line, (0, longest - played), constant_values=np.nan) for line in (branch.reward.mean(0), branch.reward.std(0)))
    if pen.area.w < 8 or pen.area.h < 8:
        return
    pen.picture(graph(mean, spread, played, pen.area.size, (-scale, scale)).pixels, pen.area)
    x = round((step + 0.5) / longest * pen.area.w)
    pen.box(Rect(x - 1, 0, max(2, pen.px(2)), pen.area.h), theme.TEXT, radius=0)
