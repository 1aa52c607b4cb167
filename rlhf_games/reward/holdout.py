"""Which labels measure instead of training, and which the members resample: functions of ids alone, so that both stay as data grows."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from rlhf_games.feedback.labels import Label

LARGEST = 16
"""A group of more questions than this always trains: measuring on it would take too much away."""


def held_out(labels: Sequence[Label], seed: int, share: float, episode_of: Callable[[str], Hashable] = str) -> NDArray[np.bool_]:
    """``[n]`` which labels measure, so that no step of a clip both trains and measures.

    Questions whose clips have a step in common (from any seat, directly or through others) form a group; all answers to all questions
    of a group go the same way. Its oldest question decides: one of the control arm measures (it was drawn uniformly, so it is what an
    active strategy can be judged by), another one where a hash of ``seed`` and its id falls below ``share``. So what measures does not
    depend on how many labels there are; only a new question that ties two groups together can turn the younger one around. Groups of
    more than ``LARGEST`` questions train.

    Args:
      labels: any number, in any order.
      seed: draws.
      share: in [0, 1): of groups.
      episode_of: maps ids of replays that are the same episode to the same thing.
    """
    group = _groups(labels, episode_of)
    sizes: dict[int, int] = {}
    for root in group.values():
        sizes[root] = sizes.get(root, 0) + 1
    control = {label.query_id for label in labels if label.control}
    measures = {root: size <= LARGEST and (root in control or _uniform("holdout", seed, root) < share) for root, size in sizes.items()}
    return np.array([measures[group[label.query_id]] for label in labels], bool)


def bootstrap_counts(seed: int, members: int, answers: Sequence[Hashable]) -> NDArray[np.float32]:
    """``[M, n]`` how often each member's resampling draws each answer: Poisson(1), which the bootstrap's counts tend to.

    A count depends on seed, member and answer only (its id; with the part, where one answer makes several labels): answers that come
    later change nothing (Oza & Russell 2001).
    """
    steps = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(12)])
    drawn = [[_uniform("bootstrap", seed, member, answer) for answer in answers] for member in range(members)]
    return np.searchsorted(steps, np.array(drawn, np.float64).reshape(members, len(answers)), side="right").astype(np.float32)


def _groups(labels: Sequence[Label], episode_of: Callable[[str], Hashable]) -> dict[int, int]:
    """The smallest query id of each query's group, by query id."""
    parent = {label.query_id: label.query_id for label in labels}

    def root(query: int) -> int:
        while parent[query] != query:
            parent[query] = parent[parent[query]]
            query = parent[query]
        return query

    windows: dict[Hashable, set[tuple[int, int, int]]] = {}
    for label in labels:
        for segment in (segment for clip in label.clips for segment in clip.segments):
            windows.setdefault(episode_of(segment.replay_id), set()).add((segment.start, segment.stop, label.query_id))
    for episode in windows.values():
        reach, before = 0, 0
        for start, stop, query in sorted(episode):
            if start < reach:
                low, high = sorted((root(before), root(query)))
                parent[high] = low
            reach, before = max(reach, stop), query
    return {query: root(query) for query in parent}


def _uniform(*about: object) -> float:
    """A number in [0, 1) that depends on the arguments only, the same on every machine."""
    digest = blake2b(repr(about).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
