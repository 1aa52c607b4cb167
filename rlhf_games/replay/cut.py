"""Cuts clips out of replays.

Where ends are *visible*, a clip lies inside one episode and may be short: what follows the end is not the agent's doing. Where ends
are *hidden*, all clips have the same length, which tells the learner of no end. A clip that would run past the end of its episode begins
earlier instead; only where the episode is shorter than a clip does it go on into the lane's next one (people see where).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.replay import Replay

Ends: TypeAlias = Literal["visible", "hidden"]


@dataclass(frozen=True)
class _Stretch:
    """Replays that follow each other without a gap, and the positions in them where a clip may start."""

    replays: tuple[Replay, ...]
    starts: int
    """Positions ``0 .. starts - 1``, counted from the first step of the first replay."""
    behind: int
    """Steps of the same lane that were played after the last position of this stretch."""
    latest: int
    """Clips of later positions begin here: at most ``starts - 1``."""


def cut_clips(
    lanes: Iterable[Sequence[Replay]],
    length: int,
    rng: np.random.Generator,
    count: int,
    *,
    ends: Ends = "visible",
    half_life: float | None = None,
    seats: Sequence[int] = (0,),
    least: int = 1,
    cross_ends: bool = False,
) -> list[Clip]:
    """Draws different clips, every start position with the same chance or recent ones more often.

    Args:
      lanes: for each recorder lane its replays in time order, the unfinished one last.
      length: steps of a clip.
      rng: is advanced.
      count: how many; fewer are returned where there are not so many start positions.
      ends: ``"visible"``: a clip stops at the end of its episode. ``"hidden"``: it has ``length`` steps in any case; where the episode
        ends earlier it is moved back within the episode, and goes on into the next episode of its lane only where its own has fewer
        steps than a clip. A clip never runs past where recording stopped, in either mode.
      half_life: a start position that lies this many steps further back in its lane has half the chance; ``None``: all the same.
      seats: each clip shows one of these, drawn with equal chance.
      least: where ends are visible, no clip is shorter than this (in steps, at most ``length``).
      cross_ends: where ends are hidden, no clip is moved back: every one goes on into the next episode from where it was drawn.

    Raises:
      UserError: an argument is out of range.
    """
    _check(length, count, half_life, seats, least)
    if ends == "visible":
        stretches = [stretch for lane in lanes for stretch in _episodes(lane, length, least)]
    else:
        cut = _runs if cross_ends else _within
        stretches = [stretch for lane in lanes for stretch in cut(lane, length)]
    offsets = np.concatenate([[0], np.cumsum([stretch.starts for stretch in stretches], dtype=np.int64)])
    places = _drawn(stretches, offsets, half_life, rng, count)
    shown = rng.choice(list(seats), len(places))
    return [
        Clip(_segments(stretches[index].replays, start, length), seat) for (index, start), seat in zip(places, shown.tolist(), strict=True)
    ]


def _drawn(
    stretches: Sequence[_Stretch], offsets: NDArray[np.int64], half_life: float | None, rng: np.random.Generator, count: int
) -> list[tuple[int, int]]:
    """Different places where clips begin: the stretch, and the step in it."""
    total = int(offsets[-1])
    # Several positions may give the same clip: then all are put in an order, and what comes again is passed over.
    wanted = total if any(stretch.latest < stretch.starts - 1 for stretch in stretches) else min(count, total)
    if half_life is None:
        drawn = rng.choice(total, wanted, replace=False) if total else np.zeros(0, np.int64)
    else:
        ages = np.concatenate([_ages(stretch) for stretch in stretches] or [np.zeros(0)])
        drawn = _weighted(ages, half_life, rng, wanted)
    found: dict[tuple[int, int], None] = {}
    for position in drawn.tolist():
        if len(found) == count:
            break
        index = int(np.searchsorted(offsets, position, side="right")) - 1
        found[index, min(position - int(offsets[index]), stretches[index].latest)] = None
    return list(found)


def clip_ends(clip: Clip, fetch_replay: Callable[[str], Replay]) -> bool:
    """Whether an episode ends with the clip's last step."""
    last = clip.segments[-1]
    replay = fetch_replay(last.replay_id)
    return replay.ended != "unfinished" and last.stop == replay.length


def same_steps(clip: Clip, fetch_replay: Callable[[str], Replay]) -> str:
    """A key that is equal for clips that must show the same, also when their replays differ.

    The game, its options, the seeds and all actions up to the clip's end decide what is shown; so a clip of an episode that was still
    running has the same key as the same piece of the whole episode.
    """
    sums = blake2b(digest_size=16)
    for segment in clip.segments:
        replay = fetch_replay(segment.replay_id)
        about = (replay.game, replay.game_version, sorted(replay.options.items()), replay.seed, segment.start, segment.length)
        sums.update(repr(about).encode())
        sums.update(replay.actions[: segment.stop].tobytes())
    sums.update(repr(clip.seat).encode())
    return sums.hexdigest()


def _check(length: int, count: int, half_life: float | None, seats: Sequence[int], least: int) -> None:
    if length < 1 or count < 0 or not 1 <= least <= length:
        raise UserError(f"clips need length >= 1, count >= 0 and 1 <= least <= length; got {length}, {count}, {least}: change the setting")
    if half_life is not None and not half_life > 0:
        raise UserError(f"the half-life of recent clips must be above 0 steps, got {half_life}: leave it out for uniform drawing")
    if len(seats) < 1 or min(seats) < 0:
        raise UserError(f"clips need at least one seat, counted from 0; got {list(seats)}")


def _episodes(lane: Sequence[Replay], length: int, least: int) -> list[_Stretch]:
    stretches = []
    behind = sum(replay.length for replay in lane)
    for replay in lane:
        # what follows the cut of an unfinished replay is unknown, so a clip must not claim to end there
        starts = replay.length - (length if replay.ended == "unfinished" else least) + 1
        behind -= replay.length
        if starts > 0:
            stretches.append(_Stretch((replay,), starts, behind + replay.length - starts, starts - 1))
    return stretches


def _runs(lane: Sequence[Replay], length: int) -> list[_Stretch]:
    """Cuts the lane behind every unfinished replay: the steps that follow it were not recorded."""
    cuts = [0, *(i + 1 for i, replay in enumerate(lane) if replay.ended == "unfinished"), len(lane)]
    stretches = []
    behind = sum(replay.length for replay in lane)
    for first, last in pairwise(cuts):
        replays = tuple(lane[first:last])
        steps = sum(replay.length for replay in replays)
        behind -= steps
        if steps >= length:
            stretches.append(_Stretch(replays, steps - length + 1, behind + length - 1, steps - length))
    return stretches


def _within(lane: Sequence[Replay], length: int) -> list[_Stretch]:
    """A stretch for each episode: of a long one alone; of a short one with what follows it, as far as that was recorded.

    The last steps of a long episode are start positions too (of its last clip), so ends are seen as often as anything else.
    """
    stretches = []
    behind = sum(replay.length for replay in lane)
    for number, replay in enumerate(lane):
        behind -= replay.length
        replays: tuple[Replay, ...] = (replay,)
        latest = replay.length - length
        starts = replay.length if replay.ended != "unfinished" else latest + 1
        if latest < 0:
            replays = _followed(lane[number:], replay.length + length - 1)
            starts = min(replay.length, sum(entry.length for entry in replays) - length + 1)
            latest = starts - 1
        if starts > 0:
            stretches.append(_Stretch(replays, starts, behind + replay.length - starts, latest))
    return stretches


def _followed(replays: Sequence[Replay], steps: int) -> tuple[Replay, ...]:
    """The first of these, and those after it without a gap, until there are so many steps."""
    found: list[Replay] = []
    for replay in replays:
        if steps <= 0 or (found and found[-1].ended == "unfinished"):
            break
        found.append(replay)
        steps -= replay.length
    return tuple(found)


def _ages(stretch: _Stretch) -> NDArray[np.float64]:
    """Steps that the lane went on after each start position."""
    return np.arange(stretch.starts - 1, -1, -1, dtype=np.float64) + stretch.behind


def _weighted(ages: NDArray[np.float64], half_life: float, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Positions without repetition, chance halved every ``half_life`` steps (Gumbel top-k, in logarithms: nothing underflows)."""
    keys = rng.gumbel(size=len(ages)) - ages * (np.log(2.0) / half_life)
    best = np.argsort(-keys, kind="stable")[:count]
    return best.astype(np.int64)


def _segments(replays: Sequence[Replay], position: int, length: int) -> tuple[Segment, ...]:
    """``length`` steps from ``position`` on, or to the end of the last replay."""
    segments = []
    for replay in replays:
        if position < replay.length and length > 0:
            steps = min(length, replay.length - position)
            segments.append(Segment(replay.id, position, steps))
            position, length = replay.length, length - steps
        position -= replay.length
    return tuple(segments)
