"""Which pairs of clips to ask about: pure functions on NumPy arrays.

Shapes: ``M`` ensemble members, ``C`` candidate pairs, ``F`` features of a pair, ``D`` pairs asked before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.feedback.acquisition import Floats, disagreement, farthest_first, mean_entropy, mutual_information
from rlhf_games.feedback.store.records import QueryDraft
from rlhf_games.replay.clip import Clip

Strategy: TypeAlias = Literal[
    "uniform", "recency", "disagreement", "entropy", "mutual_information", "k_centre", "disagreement_k_centre", "entropy_k_centre"
]
Kind: TypeAlias = Literal["preference", "ranking", "rating"]
"""What can be asked about clips."""
Pair: TypeAlias = tuple[int, int]
"""Indices of two clips."""
Group: TypeAlias = tuple[int, ...]
"""Indices of the clips of one question."""

_AT_RANDOM = ("uniform", "recency")
_CENTRES = ("k_centre", "disagreement_k_centre", "entropy_k_centre")
_RANKED = 3
"""`select` looks for untouched clips among this many times as many of the best candidates as it asks."""
_MOST_DRAWN = 200_000
"""Pairs that `pair_up` tries before it gives up."""
_TRIES = 4
"""Groups that `group_up` tries for each one that is wanted."""


@dataclass(frozen=True)
class QueryConfig:
    """Which questions are asked."""

    strategy: Strategy = "uniform"
    """``uniform``; ``recency`` (newer clips more often, see ``half_life``); ``disagreement``, ``entropy``, ``mutual_information`` of the
    ensemble's predicted answers; ``k_centre`` (clips that differ from each other); or the better half by score, then k-centre."""
    candidates_factor: int = 10
    """Candidate pairs that are looked at for each question asked (10 in Christiano et al. 2017)."""
    control_share: float = 0.1
    """Share of questions chosen uniformly beside any other strategy, and flagged: what the strategy is compared with."""
    clip_length: int = 25
    """Steps of a clip."""
    cross_ends: bool = False
    """Where ``episode_ends`` are hidden: clips are cut wherever they fall and go on into the next episode. Otherwise a clip is moved
    so that it stays within its episode, and only those of episodes shorter than a clip go on. People see every end either way."""
    half_life: float | None = None
    """Clips are cut with half the chance this many steps further back in their lane; ``recency`` needs it, every strategy may have it."""

    def __post_init__(self) -> None:
        for name in ("candidates_factor", "clip_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 <= self.control_share <= 1.0:
            raise ValueError(f"control_share must be in [0, 1], got {self.control_share}")
        if self.half_life is not None and not self.half_life > 0:
            raise ValueError(f"half_life must be above 0 steps, got {self.half_life}")
        if self.strategy == "recency" and self.half_life is None:
            raise ValueError("strategy 'recency' needs half_life, in steps")

    @property
    def at_random(self) -> bool:
        """Whether the strategy looks at nothing."""
        return self.strategy in _AT_RANDOM

    @property
    def needs_returns(self) -> bool:
        """Whether the strategy looks at predicted returns."""
        return self.strategy not in (*_AT_RANDOM, "k_centre")

    @property
    def needs_features(self) -> bool:
        """Whether the strategy looks at features."""
        return self.strategy in _CENTRES


class Selection(NamedTuple):
    """Questions to ask, as indices of candidate pairs."""

    indices: NDArray[np.int64]
    """``[Q]`` different; chosen ones first (best first), then the control arm."""
    values: Floats
    """``[Q]`` acquisition values; NaN where drawn at random."""
    control: NDArray[np.bool_]
    """``[Q]`` drawn uniformly for the control arm."""


def overlap(first: Clip, second: Clip, episode_of: Callable[[str], Hashable] = str) -> bool:
    """Whether two clips have a step in common, from whichever seat.

    ``episode_of`` maps replay ids that are the same episode (an unfinished recording, and a longer one) to the same thing.
    """
    return any(
        episode_of(a.replay_id) == episode_of(b.replay_id) and a.start < b.stop and b.start < a.stop
        for a in first.segments
        for b in second.segments
    )


def pair_up(
    clips: Sequence[Clip],
    rng: np.random.Generator,
    count: int,
    keys: Sequence[Hashable] | None = None,
    episode_of: Callable[[str], Hashable] = str,
) -> list[Pair]:
    """Random different pairs of clips that neither overlap nor look the same.

    Args:
      clips: to draw from.
      rng: is advanced.
      count: how many; fewer are returned where there are not so many.
      keys: one per clip, equal for clips that show the same (`rlhf_games.replay.cut.same_steps`, which costs nothing, or
        ``ClipBatch.content_keys``); no pair of equal keys is made, and no pair of keys twice. Default: the clips themselves.
      episode_of: see `overlap`.

    Returns:
      Indices of clips; which one comes first is drawn too.
    """
    names = list(clips if keys is None else keys)
    if len(names) != len(clips):
        raise ValueError(f"{len(names)} keys for {len(clips)} clips")
    total = len(clips) * (len(clips) - 1) // 2
    drawn = rng.choice(total, min(total, max(_MOST_DRAWN, 4 * count)), replace=False) if total else np.zeros(0, np.int64)
    swap = rng.random(len(drawn)) < 0.5
    pairs: list[Pair] = []
    seen: set[frozenset[Hashable]] = set()
    for number, swapped in zip(drawn.tolist(), swap.tolist(), strict=True):
        if len(pairs) == count:
            break
        i, j = _unrank(number)
        both = frozenset((names[i], names[j]))
        if len(both) == 2 and both not in seen and not overlap(clips[i], clips[j], episode_of):
            seen.add(both)
            pairs.append((j, i) if swapped else (i, j))
    return pairs


def group_up(
    clips: Sequence[Clip],
    rng: np.random.Generator,
    count: int,
    size: int,
    keys: Sequence[Hashable] | None = None,
    episode_of: Callable[[str], Hashable] = str,
) -> list[Group]:
    """Random different groups of clips of which no two overlap or look the same: `pair_up` for any number of clips.

    Args:
      clips: to draw from.
      rng: is advanced.
      count: how many; fewer are returned where they are hard to find.
      size: clips of a group, at least 1.
      keys: as in `pair_up`.
      episode_of: see `overlap`.

    Returns:
      Indices of clips, in a drawn order.
    """
    names = list(clips if keys is None else keys)
    if len(names) != len(clips) or size < 1:
        raise ValueError(f"expected one key per clip and a size of at least 1; got {len(names)} keys for {len(clips)} clips, size {size}")
    groups: list[Group] = []
    seen: set[frozenset[Hashable]] = set()
    order: list[int] = []
    for _ in range(_TRIES * count):
        if len(groups) == count or len(clips) < size:
            break
        if len(order) < size:  # every clip once before any comes again
            order += rng.permutation(len(clips)).tolist()
        group, left = _apart(order, size, clips, names, episode_of)
        order = left
        every = frozenset(names[i] for i in group)
        if len(group) == size and every not in seen:
            seen.add(every)
            groups.append(group)
    return groups


def _apart(
    order: Sequence[int], size: int, clips: Sequence[Clip], names: Sequence[Hashable], episode_of: Callable[[str], Hashable]
) -> tuple[Group, list[int]]:
    """The first ``size`` of ``order`` that may be shown together (fewer where there are not so many), and the others."""
    group: list[int] = []
    left: list[int] = []
    for i in order:
        fits = len(group) < size and all(names[i] != names[j] and not overlap(clips[i], clips[j], episode_of) for j in group)
        (group if fits else left).append(i)
    return tuple(group), left


def _unrank(number: int) -> Pair:
    """The ``number``-th of the pairs (1, 0), (2, 0), (2, 1), (3, 0) ..."""
    high = int((1 + np.sqrt(1 + 8 * number)) / 2)
    while high * (high - 1) // 2 > number:  # the square root is rounded
        high -= 1
    return high, number - high * (high - 1) // 2


def choose(
    strategy: Strategy,
    count: int,
    first_returns: NDArray[Any] | None,
    second_returns: NDArray[Any] | None,
    features: NDArray[Any] | None,
    rng: np.random.Generator,
    asked_features: NDArray[Any] | None = None,
    size: int | None = None,
) -> tuple[NDArray[np.int64], Floats]:
    """The ``count`` candidates that are worth asking most.

    Args:
      strategy: see `QueryConfig.strategy`; ``recency`` draws uniformly here, because its clips were already cut with a half-life.
      count: how many; all, best first, where there are fewer candidates.
      first_returns: ``[M, C]`` predicted return of each pair's first clip, in the likelihood's units; needed for scores. Questions about
        more clips have ``[M, C, pairs]``, and the mean score of their pairs.
      second_returns: of its second.
      features: ``[C, F]`` of the pairs, for k-centre; on scales that may be compared.
      rng: is advanced; decides between equals.
      asked_features: ``[D, F]`` of pairs asked before: k-centre keeps away from them.
      size: ``C``, where neither returns nor features are given.

    Returns:
      Indices, and their acquisition values: the score where there is one, else the distance to the nearest centre, NaN where drawn.

    Raises:
      ValueError: what the strategy needs is missing, or shapes differ.
    """
    total = _size(first_returns, second_returns, features, size)
    count = min(count, total)
    if strategy in _AT_RANDOM:
        return rng.permutation(total)[:count], np.full(count, np.nan)
    if strategy in _CENTRES and features is None:
        raise ValueError(f"strategy {strategy!r} needs features")
    rows = None if features is None else np.asarray(features, np.float64)
    asked = None if asked_features is None else np.asarray(asked_features, np.float64)
    if strategy == "k_centre":
        assert rows is not None
        return farthest_first(rows, count, rng, asked)
    scores = _scores(strategy, first_returns, second_returns)
    shuffled = rng.permutation(total)
    order = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    if strategy in _CENTRES:
        assert rows is not None
        half = order[: -(-total // 2)]
        spread, _ = farthest_first(rows[half], min(count, len(half)), rng, asked)
        order = np.concatenate([half[spread], order[len(half) :]])
    return order[:count], scores[order[:count]]


def select(
    config: QueryConfig,
    count: int,
    clips: Sequence[Clip],
    pairs: Sequence[Group],
    rng: np.random.Generator,
    *,
    first_returns: NDArray[Any] | None = None,
    second_returns: NDArray[Any] | None = None,
    features: NDArray[Any] | None = None,
    asked_features: NDArray[Any] | None = None,
    asked: Iterable[Clip] = (),
    episode_of: Callable[[str], Hashable] = str,
) -> Selection:
    """Chooses questions by the strategy, and the control arm uniformly out of the rest.

    A pair that has a step in common with a question chosen before it, or with one of the clips ``asked`` earlier, waits until there is
    no other: repeated clips tell less, and hold-out and training questions that share steps cannot be told apart.

    Args:
      config: ``strategy`` and ``control_share``; under ``uniform`` every question is its own control and none is flagged.
      count: questions in all; fewer where there are fewer pairs.
      clips: what ``pairs`` index.
      pairs: ``C`` candidates, from `pair_up` or `group_up`.
      rng: is advanced.
      first_returns: as in `choose`.
      second_returns: as in `choose`.
      features: as in `choose`.
      asked_features: as in `choose`.
      asked: clips of earlier questions.
      episode_of: see `overlap`.
    """
    total = len(pairs)
    count = min(count, total)
    controls = 0 if config.strategy == "uniform" else round(config.control_share * count)
    arrays = (first_returns, second_returns, features)
    order, values = choose(config.strategy, min(total, _RANKED * count), *arrays, rng, asked_features, size=total)
    taken = _Taken(episode_of, asked)
    places = taken.pick([[clips[k] for k in pairs[i]] for i in order.tolist()], count - controls)
    chosen = order[places]
    rest = rng.permutation(np.setdiff1d(np.arange(total), chosen))
    control = rest[taken.pick([[clips[k] for k in pairs[i]] for i in rest.tolist()], controls)]
    return Selection(
        np.concatenate([chosen, control]),
        np.concatenate([values[places], np.full(len(control), np.nan)]),
        np.arange(count) >= len(chosen),
    )


def drafts(
    config: QueryConfig, clips: Sequence[Clip], groups: Sequence[Group], selection: Selection, kind: Kind = "preference", **fields: Any
) -> list[QueryDraft]:
    """The selected questions, ready for ``Store.post_queries``; ``fields`` are further fields of every `QueryDraft`."""
    found = []
    for index, value, control in zip(*(array.tolist() for array in selection), strict=True):
        shown = tuple(clips[i] for i in groups[index])
        strategy = "uniform" if control else config.strategy
        found.append(
            QueryDraft(kind, shown, strategy=strategy, acquisition=value if np.isfinite(value) else None, control=control, **fields)
        )
    return found


class _Taken:
    """Steps that were asked about, by episode."""

    def __init__(self, episode_of: Callable[[str], Hashable], clips: Iterable[Clip]) -> None:
        self._episode_of = episode_of
        self._windows: dict[Hashable, list[tuple[int, int]]] = {}
        self._add(clips)

    def pick(self, groups: Sequence[Iterable[Clip]], count: int) -> NDArray[np.int64]:
        """Places of the first ``count`` groups in which no step is taken; where these are too few, the first others after them."""
        free: list[int] = []
        other: list[int] = []
        for place, group in enumerate(groups):
            if len(free) == count:
                break
            if any(self._has(clip) for clip in group):
                other.append(place)
                continue
            self._add(group)
            free.append(place)
        late = other[: count - len(free)]
        for place in late:
            self._add(groups[place])
        return np.array(free + late, np.int64)

    def _add(self, clips: Iterable[Clip]) -> None:
        for segment in (segment for clip in clips for segment in clip.segments):
            self._windows.setdefault(self._episode_of(segment.replay_id), []).append((segment.start, segment.stop))

    def _has(self, clip: Clip) -> bool:
        return any(
            segment.start < stop and start < segment.stop
            for segment in clip.segments
            for start, stop in self._windows.get(self._episode_of(segment.replay_id), ())
        )


def _size(first: NDArray[Any] | None, second: NDArray[Any] | None, features: NDArray[Any] | None, size: int | None) -> int:
    """The number of candidates, on which all that is given must agree."""
    if (first is None) != (second is None) or (first is not None and second is not None and first.shape != second.shape):
        raise ValueError("first_returns and second_returns belong together and have the same shape [M, C]")
    sizes = {size} if size is not None else set()
    sizes |= {first.shape[1]} if first is not None else set()
    sizes |= {len(features)} if features is not None else set()
    if len(sizes) != 1:
        raise ValueError(f"the number of candidates is not clear: {sorted(sizes) or 'give returns, features or size'}")
    return int(sizes.pop())


def _scores(strategy: Strategy, first: NDArray[Any] | None, second: NDArray[Any] | None) -> Floats:
    if first is None or second is None:
        raise ValueError(f"strategy {strategy!r} needs predicted returns")
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    if not np.isfinite(difference).all():
        raise ValueError("predicted returns must be finite")
    if len(difference) < 2 and not strategy.startswith("entropy"):
        raise ValueError(f"strategy {strategy!r} needs an ensemble of at least 2 members, got {len(difference)}")
    if difference.ndim > 2:  # the mean over the pairs of a question
        shape = difference.shape[1:]
        every: Floats = _score(strategy, difference.reshape(len(difference), -1)).reshape(shape)
        return np.asarray(every.mean(axis=tuple(range(1, len(shape)))))
    return _score(strategy, difference)


def _score(strategy: Strategy, difference: Floats) -> Floats:
    if strategy == "mutual_information":
        return mutual_information(difference)
    return disagreement(difference) if strategy.startswith("disagreement") else mean_entropy(difference)
