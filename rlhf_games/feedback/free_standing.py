"""Answers that nobody asked for, as labels of a run: live evaluations, takeovers, demonstrations and ratings of what was played.

- An *evaluation* is about the steps that the person can have meant (`rlhf_games.feedback.credit`).
- A *takeover* says: what I did is better than what the agent would have done from the same state. Both are cut to equal length.
- A *demonstration* is cut into clips, and each is better than a clip of the run's first policy, drawn by the ids of answer and clip. (Ibarz
  et al. 2018, arXiv 1811.06521, compare demonstrations with clips of the first policies in the same way.) These clips lie beside those
  of the first questions, so that what measures and what trains stay apart.
- A *rating* is about everything from its step on, mostly a whole episode. It counts as the rating of a clip of the usual length made of
  steps of the episode, one from each of so many equal stretches, drawn by the answer's id: their sum is an unbiased estimate of what the
  episode brings in the time of a clip. So long and short episodes, and clips that were asked about, share an annotator's cut-points, and
  one key counts as one answer, however long the episode was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import Literal

import numpy as np

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import GameSpec
from rlhf_games.feedback.answers import Demonstration, Evaluation, Rating, Takeover
from rlhf_games.feedback.credit import credited
from rlhf_games.feedback.labels import UNSOLICITED, EvaluationLabel, Label, PairLabel, RatingLabel
from rlhf_games.feedback.store import Answer, Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.replay import Replay, fits

_AT_ONCE = 4096
"""Steps of an episode that are read together."""


class FreeStanding:
    """Makes labels for one run. Answers about other games, other options of the game or other versions say nothing to it."""

    def __init__(
        self, store: Store, spec: GameSpec, session: str, length: int, read: Callable[[Sequence[Clip]], object] | None = None
    ) -> None:
        """For one run.

        Args:
          store: with the replays.
          spec: of the run's game.
          session: name of the run.
          length: steps of its clips.
          read: re-simulates clips, or raises ``UserError``: an answer about an episode that does not reproduce is left out then, and
            counted in ``refused``, so that it does not end the run. None: nothing is checked.
        """
        self._store, self._spec, self._session, self._length, self._read = store, spec, session, length, read
        self._first: tuple[Clip, ...] = ()
        self._checked: dict[str, tuple[int, int]] = {}
        """Stretches of replays that reproduce."""
        self.refused: dict[int, str] = {}
        """Ids of answers that were left out, and why."""

    def labels_of(self, answers: Sequence[Answer]) -> list[tuple[Label, ...] | None]:
        """The labels of each answer; None where its episode has no replay yet, or there is nothing yet to compare it with.

        Each episode is played again once for all answers about it.
        """
        found: list[tuple[Label, ...] | None] = []
        for answer in answers:
            try:
                found.append(self._labels(answer))
            except UserError as error:
                self.refused[answer.id] = str(error)
                found.append(())
        problems = self._check([label for labels in found for label in labels or ()])
        for place, (answer, labels) in enumerate(zip(answers, found, strict=True)):
            bad = [problems[name] for name in _replays(labels or ()) if name in problems]
            if bad:
                self.refused[answer.id], found[place] = bad[0], ()
        return found

    def _check(self, labels: Sequence[Label]) -> dict[str, str]:
        """Plays again what the labels are about and was not played yet; returns replays that do not reproduce, and why."""
        spans: dict[str, tuple[int, int]] = {}
        for segment in (segment for label in labels for clip in label.clips for segment in clip.segments):
            start, stop = spans.get(segment.replay_id, (segment.start, segment.stop))
            spans[segment.replay_id] = (min(start, segment.start), max(stop, segment.stop))
        problems: dict[str, str] = {}
        for replay_id, (start, stop) in spans.items():
            known = self._checked.get(replay_id, (0, 0))
            if self._read is None or known[0] <= start < stop <= known[1]:
                continue
            # what is read is kept by the reader, so that fitting need not play it again; of very long stretches the end alone, which
            # is checked as far
            start = max(start, stop - _AT_ONCE)
            try:
                self._read([Clip((Segment(replay_id, start, stop - start),))])
                self._checked[replay_id] = (min(start, known[0]) if known[1] else start, max(stop, known[1]))
            except UserError as error:
                problems[replay_id] = str(error)
        return problems

    def _labels(self, answer: Answer) -> tuple[Label, ...] | None:
        if answer.replay_id is None or answer.step is None:
            return None if answer.episode is not None else ()
        replay = self._store.replay(answer.replay_id)
        if not fits(replay, self._spec):
            return ()
        match answer.value:
            case Evaluation() as value:
                return self._evaluation(answer, value, replay, answer.step)
            case Takeover() as value:
                return self._takeover(answer, value, replay, answer.step)
            case Demonstration() as value:
                return self._demonstration(answer, value, replay, answer.step)
            case Rating(int(stars)) if answer.step < replay.length:
                clip = _spread(answer.id, Segment(replay.id, answer.step, replay.length - answer.step), self._length)
                return (RatingLabel(UNSOLICITED + answer.id, answer.id, answer.annotator, (clip,), stars, False),)
        return ()

    def _evaluation(self, answer: Answer, value: Evaluation, replay: Replay, step: int) -> tuple[Label, ...]:
        start, credit = credited(value, step, replay.length, self._spec.decisions_per_second)
        if not len(credit) or value.seat >= self._spec.players:
            return ()
        window = Clip((Segment(replay.id, start, len(credit)),), value.seat)
        shares = tuple(credit.tolist())
        return (EvaluationLabel(UNSOLICITED + answer.id, answer.id, answer.annotator, (window,), value.value, shares),)

    def _takeover(self, answer: Answer, value: Takeover, replay: Replay, step: int) -> tuple[Label, ...]:
        if not value.instead or value.seat >= self._spec.players:
            return ()
        other = self._store.replay(value.instead)
        same_state = other.seed == replay.seed and np.array_equal(other.actions[:step], replay.actions[:step])
        steps = min(value.length, self._length, replay.length - step, other.length - step)
        if not fits(other, self._spec) or not same_state or steps < 1:
            return ()
        mine, agents = (Clip((Segment(source.id, step, steps),), value.seat) for source in (replay, other))
        return () if mine == agents else (self._better(answer, mine, agents, "takeover", 0),)

    def _demonstration(self, answer: Answer, value: Demonstration, replay: Replay, step: int) -> tuple[Label, ...] | None:
        stop = min(step + value.length, replay.length)
        steps = min(self._length, stop - step)
        if steps < 1 or value.seat >= self._spec.players:
            return ()
        first = self._first_clips()
        if not first:
            return None
        labels = []
        for part in range((stop - step) // steps):
            agents = first[_draw(answer.id, part, len(first))]
            both = min(steps, agents.length)
            shown = Clip((Segment(replay.id, step + part * steps, both),), value.seat)
            labels.append(self._better(answer, shown, _beginning(agents, both), "demonstration", part))
        return tuple(labels)

    def _better(self, answer: Answer, mine: Clip, agents: Clip, source: Literal["takeover", "demonstration"], part: int) -> PairLabel:
        return PairLabel(UNSOLICITED + answer.id, answer.id, answer.annotator, mine, agents, "first", 1, False, source, part)

    def _first_clips(self) -> tuple[Clip, ...]:
        """Clips of the episodes that the run's first questions were about, beside the steps that were asked about.

        Where these cover everything (short episodes), the clips of the questions themselves.
        """
        if not self._first:
            queries = self._store.queries(self._store.query_ids(session=self._session))
            mine = [query for query in queries if query.iteration == 0]
            asked = tuple(dict.fromkeys(clip for query in mine for clip in query.clips))
            self._first = self._beside(asked) or asked
        return self._first

    def _beside(self, asked: Sequence[Clip]) -> tuple[Clip, ...]:
        """Whole clips of the same replays and seats that have no step in common with those asked about (from any seat)."""
        taken: dict[int, list[tuple[int, int]]] = {}
        longest: dict[int, tuple[Replay, int]] = {}
        for seat, segment in [(clip.seat, segment) for clip in asked for segment in clip.segments]:
            replay = self._store.replay(segment.replay_id)
            taken.setdefault(replay.seed, []).append((segment.start, segment.stop))
            if replay.seed not in longest or longest[replay.seed][0].length < replay.length:
                longest[replay.seed] = (replay, seat)
        return tuple(
            Clip((Segment(replay.id, start, self._length),), seat)
            for seed, (replay, seat) in longest.items()
            for low, high in _gaps(taken[seed], replay.length)
            for start in range(low, high - self._length + 1, self._length)
        )


def _gaps(windows: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The stretches of ``0 .. length - 1`` outside of all windows ``(start, stop)``, in order."""
    edges = sorted(windows)
    starts = [0, *accumulate((stop for _, stop in edges), max)]
    stops = [*(start for start, _ in edges), length]
    return [(low, high) for low, high in zip(starts, stops, strict=True) if low < high]


def _replays(labels: Sequence[Label]) -> set[str]:
    return {segment.replay_id for label in labels for clip in label.clips for segment in clip.segments}


def _beginning(clip: Clip, steps: int) -> Clip:
    """The first ``steps`` steps of a clip."""
    segments = []
    for segment in clip.segments:
        if steps > 0:
            segments.append(Segment(segment.replay_id, segment.start, min(steps, segment.length)))
            steps -= segment.length
    return Clip(tuple(segments), clip.seat)


def _spread(answer_id: int, whole: Segment, steps: int) -> Clip:
    """``steps`` steps of a segment in their order, one drawn from each of so many equal stretches; all of a segment that is no longer."""
    if whole.length <= steps:
        return Clip((whole,))
    edges = [whole.start + part * whole.length // steps for part in range(steps + 1)]
    drawn = [low + _draw(answer_id, part, high - low) for part, (low, high) in enumerate(pairwise(edges))]
    return Clip(tuple(Segment(whole.replay_id, step, 1) for step in drawn))


def _draw(answer_id: int, part: int, count: int) -> int:
    """A number below ``count`` that depends on the arguments only."""
    return int.from_bytes(blake2b(f"{answer_id}/{part}".encode(), digest_size=8).digest(), "big") % count
