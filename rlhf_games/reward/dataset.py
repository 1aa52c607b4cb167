"""Labelled clips as arrays to fit on: grows as answers come, shrinks where one is taken back.

Shapes: ``n`` labels, ``K`` capacity (``n`` of a kind, padded), ``L`` steps of a clip, ``W`` clips of an answer, ``M`` members.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.feedback.credit import credit_steps
from rlhf_games.feedback.labels import EvaluationLabel, Label, PairLabel, RankingLabel, RatingLabel
from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE
from rlhf_games.replay.clip import Clip
from rlhf_games.replay.reader import ClipReader
from rlhf_games.reward.clips import ClipFeatures
from rlhf_games.reward.ensemble import RewardEnsemble
from rlhf_games.reward.holdout import Holdout, Place, Posted, Side, bootstrap_counts
from rlhf_games.reward.rows import Rows

GROWS_BY = 256
"""``K`` is a multiple of this, so that fitting is compiled again only once in so many labels."""
_PAIR = {"first": FIRST, "second": SECOND, "tie": TIE}


class AnswerDataset:
    """The labels that stand, with the features of their clips. Not for several threads at once.

    Every answer is one row of its kind (a demonstration is several): two annotators' answers to one question are two rows, and both
    train or both measure. An answer "much better" (strength 2) counts as one "better": how much more it should weigh differs from
    annotator to annotator and is not known.

    Rows measure instead of training as `rlhf_games.reward.holdout.Holdout` says, over all kinds together.
    """

    def __init__(
        self,
        reader: ClipReader,
        ensemble: RewardEnsemble,
        length: int,
        members: int,
        seed: int,
        holdout: float,
        bootstrap: bool,
        episode_of: Callable[[str], Hashable] = str,
    ) -> None:
        """An empty data set.

        Args:
          reader: re-simulates clips.
          ensemble: whose features are kept.
          length: ``L``; no clip may be longer (the steps that an evaluation is about are counted in seconds instead).
          members: ``M``.
          seed: decides hold-out and resampling, together with the ids of questions and answers: never with their order or number.
          holdout: share in [0, 1) of questions, and of episodes with unsolicited answers, that measure.
          bootstrap: give every member its own resampling of the training rows; a single member sees each once anyway.
          episode_of: maps ids of replays that are the same episode (an unfinished recording, and a longer one) to the same thing.
        """
        self._length, self._members, self._seed = length, members, seed
        self._bootstrap = bootstrap and members > 1
        self._episode_of = episode_of
        self._sides = Holdout(seed, holdout, episode_of)
        self._places: tuple[Place, ...] = ()
        self._rate = reader.spec.decisions_per_second
        self._clips = ClipFeatures(reader, ensemble)
        self._labels: tuple[Label, ...] = ()
        self._rows: dict[str, Rows] | None = None
        self._trained: dict[Hashable, NDArray[np.bool_]] | None = None

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def labels(self) -> tuple[Label, ...]:
        """``[n]`` the labels of all kinds, oldest answer first."""
        return self._labels

    @property
    def holdout(self) -> NDArray[np.bool_]:
        """``[n]`` labels that measure."""
        return self._at(Side.MEASURES)

    @property
    def trains(self) -> NDArray[np.bool_]:
        """``[n]`` labels that train."""
        return self._at(Side.TRAINS)

    def post(self, questions: Iterable[Posted]) -> None:
        """Takes note of questions that the run has posted, answered or not: what measures is decided in the order of posting."""
        self._sides.post(questions)
        self._trained = None  # a question may join observations

    def of(self, kind: str) -> tuple[tuple[Label, ...], NDArray[np.bool_]]:
        """The labels of a kind in the order of its rows, and which of them measure."""
        rows = self._rows_of(kind)
        return tuple(self._labels[i] for i in rows), self.holdout[rows]

    def evidence(self, kind: str) -> tuple[NDArray[np.bool_], list[Hashable]]:
        """Of the rows of a kind: ``[M, n]`` which members saw none of their steps, and what each row is counted as.

        See `rlhf_games.reward.skill.Predicted`.
        """
        rows, trained = self._rows_of(kind), self._trained_units()
        observations = [self._sides.observation(self._places[i].unit) for i in rows]
        nothing = np.zeros(self._members, bool)
        seen = np.array([trained.get(observation, nothing) for observation in observations], bool).reshape(len(rows), self._members).T
        used = np.array([self._places[i].side != Side.NEITHER for i in rows], bool)
        return ~seen & used, observations

    def _trained_units(self) -> dict[Hashable, NDArray[np.bool_]]:
        """By observation: ``[M]`` which members were trained on any of its labels, of any kind. Computed once a fit."""
        if self._trained is None:
            self._trained = {}
            for kind, rows in self.rows().items():
                weight = np.asarray(rows.weight) > 0
                for row, i in enumerate(self._rows_of(kind)):
                    observation = self._sides.observation(self._places[i].unit)
                    self._trained[observation] = self._trained.get(observation, np.zeros(self._members, bool)) | weight[:, row]
        return self._trained

    def _at(self, side: Side) -> NDArray[np.bool_]:
        return np.array([place.side == side for place in self._places], bool)

    def _rows_of(self, kind: str) -> list[int]:
        return [i for i, label in enumerate(self._labels) if label.source == kind]

    def update(self, labels: Sequence[Label]) -> bool:
        """Takes over all labels that stand now: new ones are added, and what is missing was taken back.

        Only clips that are new are read. Returns whether anything changed.

        Raises:
          UserError: a clip cannot be read, or is longer than ``length``; the data set stays as it was.
        """
        rows = tuple(sorted(labels, key=lambda label: (label.answer_id, label.part)))
        places = tuple(self._sides.places(rows))
        if rows == self._labels and places == self._places:
            return False
        self._clips.keep([(clip, self._steps([label])) for label in rows for clip in label.clips])
        self._labels, self._places = rows, places
        self._rows = self._trained = None
        return True

    def rows(self) -> dict[str, Rows]:
        """The rows of every kind there is, padded; weights are 0 on hold-out and padding. The same arrays until the next change."""
        if self._rows is None:
            self._rows = {kind: self._build(kind) for kind in sorted({label.source for label in self._labels})}
        return self._rows

    def features_flat(self) -> NDArray[Any]:
        """``[B, ...]`` features of all steps of all clips, each clip once, without padding; not for pixels."""
        return self._clips.flat()

    def returns(self, kind: str = "preference") -> NDArray[np.float64]:
        """``[n, W]`` true returns of the clips of each row of a kind: for reports, never for fitting. NaN where a row has fewer clips."""
        labels, _ = self.of(kind)
        width = max((len(label.clips) for label in labels), default=2)
        found = np.full((len(labels), width), np.nan)
        for row, label in enumerate(labels):
            found[row, : len(label.clips)] = [self._clips.true_return(clip) for clip in label.clips]
        return found

    def annotators(self) -> tuple[str, ...]:
        """Who rates, by number."""
        return tuple(dict.fromkeys(label.annotator for label in self._labels if label.source == "rating"))

    def _steps(self, labels: Sequence[Label]) -> int:
        """Room for the clips of labels of one kind: of few sizes, so that programs are compiled for few."""
        if labels[0].source != "evaluation":
            return self._length
        steps, longest = credit_steps(self._rate), max(clip.length for label in labels for clip in label.clips)
        while steps < longest:  # marks given while the game ran faster
            steps *= 2
        return steps

    def _build(self, kind: str) -> Rows:
        labels, held = self.of(kind)
        count, width = len(labels), max(len(label.clips) for label in labels)
        capacity = -(-count // GROWS_BY) * GROWS_BY
        number: dict[tuple[Clip, tuple[float, ...] | None], int] = {}
        places = np.zeros((capacity, width), np.int32)
        for row, label in enumerate(labels):
            places[row, : len(label.clips)] = [number.setdefault((clip, _credit(label)), len(number)) for clip in label.clips]
        room = capacity * width  # grows with the rows, so that both are compiled again together
        credit = [shares for _, shares in number if shares is not None]
        table = self._clips.table([clip for clip, _ in number], self._steps(labels), room, credit)
        raters = {name: i for i, name in enumerate(self.annotators())}
        annotator = np.zeros(capacity, np.int32)
        annotator[:count] = [raters.get(label.annotator, 0) for label in labels]
        said = _said(labels, width)
        padded = np.zeros((capacity, *said.shape[1:]), said.dtype)
        padded[:count] = said
        weight = np.zeros((self._members, capacity), np.float32)
        places_of = [self._places[i] for i in self._rows_of(kind)]
        trains = np.array([place.side == Side.TRAINS for place in places_of], bool)
        weight[:, :count] = np.where(trains, self._drawn([place.unit for place in places_of]), 0.0)
        holdout = np.zeros(capacity, bool)
        holdout[:count] = held
        return Rows(table, *(jnp.asarray(array) for array in (places, padded, annotator, weight, holdout)))

    def _drawn(self, units: Sequence[Hashable]) -> NDArray[np.float32]:
        """``[M, n]`` how often each member draws each label."""
        if not self._bootstrap:
            return np.ones((self._members, len(units)), np.float32)
        return bootstrap_counts(self._seed, self._members, units)


def _credit(label: Label) -> tuple[float, ...] | None:
    """Of each step of its clips; None: all count fully."""
    return label.credit if isinstance(label, EvaluationLabel) else None


def _said(labels: Sequence[Label], width: int) -> NDArray[Any]:
    """``[n, ...]`` the labels of one kind as numbers, as `Rows.label` has them."""
    found: list[Any] = []
    for label in labels:
        match label:
            case PairLabel():
                found.append(np.int32(_PAIR[label.kind]))
            case RankingLabel():
                found.append(np.array([*label.ranks, *[-1] * (width - len(label.ranks))], np.int32))
            case RatingLabel():
                found.append(np.int32(label.stars - 1))
            case EvaluationLabel():
                found.append(np.float32(label.value))
            case _:
                raise TypeError(f"no numbers are known for a label of kind {label.source!r}")
    return np.stack(found)
