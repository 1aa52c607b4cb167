"""What Watch and Ask draw alike: an episode's picture, its timeline, and words about where things stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.browsing import Browser
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.episodes import Episode, Episodes
from rlhf_games.arena.figures import figure
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.learner import Learner
from rlhf_games.arena.minds import Minds
from rlhf_games.arena.pen import Pen, fit
from rlhf_games.arena.playhead import Playhead
from rlhf_games.arena.reel import Reel
from rlhf_games.arena.remarks import Mark
from rlhf_games.arena.timeline_view import Series, Strip

_PAD = 6
TURNS = 12
"""Steps of a spinner's turn in a second."""


def _paint_heading(pen: Pen, title: str, *lines: str) -> None:
    pen.text((0, 0), title, "title", width=pen.area.w)
    for number, words in enumerate(lines):
        pen.text((0, pen.px(42 + 24 * number)), words, "small", theme.MUTED, width=pen.area.w)


def draw_heading(canvas: Canvas, rect: Rect, title: str, session: Browser) -> None:
    """A title, which episode it is, and who is asked about it."""
    heading = (title, episode_words(session.episode, session.episodes), asked_words(session.reel, session.minds))
    canvas.part("heading", rect, heading, lambda pen: _paint_heading(pen, *heading))


def draw_picture(
    canvas: Canvas,
    name: str,
    rect: Rect,
    key: object,
    shape: tuple[int, ...],
    fetch: Callable[[], NDArray[np.uint8]],
    *,
    ending: bool = False,
) -> None:
    """A panel with a picture ``[H, W, 3]`` of ``shape = (H, W, 3)`` in it; only the picture is painted again when ``key`` changes.

    ``ending``: it is the last one of an episode, and framed.
    """
    pad = canvas.px(_PAD)
    canvas.part(f"{name} panel", rect, shape, lambda pen: pen.box(pen.area))
    inner = rect.inflate(-2 * pad, -2 * pad)
    if inner.w <= 0 or inner.h <= 0:
        return
    place = Rect((0, 0), fit((shape[1], shape[0]), inner.size)[0])
    place.center = inner.center
    canvas.part(name, place, (key, ending), lambda pen: paint_picture(pen, fetch(), ending), theme.PANEL)


def paint_picture(pen: Pen, picture: NDArray[np.uint8], ending: bool) -> None:
    """A picture ``[H, W, 3]``; framed where it is the last one of an episode."""
    where = pen.picture(picture, pen.area)
    if ending:
        pen.frame(where, theme.AMBER, 5)


def end_words(reel: Reel, t: int) -> str:
    """What is said at the last position of what was recorded; else empty. Something is open."""
    if t < reel.tape.length:
        return ""
    return "the episode ends here" if reel.tape.ends_at(t) else "the recording stops here"


def draw_waiting(canvas: Canvas, rect: Rect, now: float, words: str, more: str, problem: bool) -> None:
    """A spinner with words, or only words where something is wrong."""
    turn = 0 if problem else int(now * TURNS)
    canvas.part("stage", rect, (turn, words, more, problem), lambda pen: paint_waiting(pen, turn / TURNS, words, more, problem))


def paint_waiting(pen: Pen, turn: float, words: str, more: str, problem: bool, colour: theme.Colour = theme.AMBER) -> None:
    """The inside of `draw_waiting`; ``problem``: no spinner, and the words in ``colour``."""
    pen.box(pen.area)
    x, y = pen.area.center
    if not problem:
        pen.spinner((x, y - pen.px(60)), turn)
    pen.text((x, y), words, "title", colour if problem else theme.TEXT, "midtop", pen.area.w - pen.px(60))
    pen.paragraph((x, y + pen.px(48)), more, pen.area.w - pen.px(80), 4, centred=True)


def waiting_words(session: Browser, headway: Headway | None) -> tuple[str, str, bool]:
    """What is being waited for, more about it, and whether it is a problem (or nothing comes by itself)."""
    episodes, reel = session.episodes, session.reel
    if reel.phase == "broken":
        return "This episode cannot be shown", reel.problem, True
    if episodes.problem:
        return "The store cannot be read", episodes.problem, True
    if reel.phase == "loading":
        return "Opening the episode…", reel.words, False
    if not episodes.looked:
        return "Opening the store…", "", False
    if not episodes.listed:
        return _nothing_words(session, None if headway is None else headway.learner)
    return "Looking for the newest policy…", "The first time takes a few seconds.", False


def _nothing_words(session: Browser, learner: Learner | None) -> tuple[str, str, bool]:
    """What there is to do where no episode is recorded."""
    title = "No episode is recorded yet."
    if session.fresh.words:
        return session.fresh.words, "", False
    if session.fresh.problem:
        return title, session.fresh.problem, True
    if session.minds.newest is not None:
        return title, "G lets the newest policy play a game now. What the learner records appears here too.", True
    if learner is not None and learner.state in ("learns", "waits"):
        return title, f"The first one appears here as soon as the learner records it; {learner.words}.", False
    if learner is None:
        return title, "Nothing was played here so far. Start a run (rlhf-games run), or open the folder of one.", True
    return title, f"{learner.words[:1].upper()}{learner.words[1:]}; it records episodes, and Play records yours.", True


def asked_words(reel: Reel, minds: Minds) -> str:
    """Who is asked, or why nobody is."""
    if reel.thinking_problem:
        return reel.thinking_problem
    if reel.mind is None:
        return minds.problem
    about = reel.mind.about
    trust = "" if about.trusted else " · its reward model is not trusted yet"
    return f"asked: policy {about.policy}, after {about.steps:,} steps{trust}"


def episode_words(episode: Episode | None, episodes: Episodes) -> str:
    """Which episode it is."""
    if episode is None:
        return ""
    place = (episodes.place(episode.id) or 0) + 1
    who = f"policy {episode.policy}" if episode.policy else f"played by {', '.join(episode.player)}"
    cut = "" if episode.ended else ", not to its end"
    return f"{who} · episode {place} of {len(episodes.listed)} · {episode.length} decisions{cut}"


def reward_strip(
    reel: Reel, head: Playhead, seat: int, marks: tuple[Mark, ...], *, values: bool = False, truth: bool = False
) -> tuple[Strip, Series]:
    """The timeline of the episode that is open: the learned reward of each step, or the policy's value."""
    scene = reel.scene
    assert scene is not None
    timeline, tape = scene.timeline, scene.tape
    t = min(head.t, tape.length - 1)
    thought = timeline.at(t, seat)
    if values:
        mean = timeline.values(seat)
        spread = np.zeros_like(mean)
        words, now = "value: what the policy expects from here on", "" if thought is None else figure(thought.value, ".3g")
    else:
        mean, spread = timeline.rewards(seat)
        members = 0 if thought is None else len(thought.reward)
        words = f"learned reward of each step · band: spread over {members} members" if members else "learned reward of each step"
        now = "" if thought is None else f"{figure(float(thought.reward.mean()), '+.3f')} ± {thought.reward.std():.3f}"
    if scene.mind is None:
        words = "no policy has been asked"
    words += " · ▲ points" if truth else ""
    name = f"{tape.replay.id} {seat} {values} {'' if scene.mind is None else scene.mind.about.policy}"
    position = t + 0.5 if head.paused and head.position == head.t else head.position
    place = f"decision {t} · " if now else f"decision {t}"
    strip = Strip(name, timeline.version, words, place + now, round(position, 2), max(0, tape.checked - 1), marks, truth)
    return strip, Series(mean, spread, tape.rewards(seat))
