"""From what the recorder's games did to questions in the store."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core import streams
from rlhf_games.core.game import Game
from rlhf_games.experiment.questions import Questions
from rlhf_games.experiment.spec import Experiment
from rlhf_games.feedback.queries import Group, Selection, drafts, group_up, pair_up, select
from rlhf_games.feedback.store import Query, QueryDraft, Store
from rlhf_games.replay.clip import Clip
from rlhf_games.replay.cut import cut_clips, same_steps
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.recorder import Chunk, EpisodeRecorder
from rlhf_games.replay.replay import Replay
from rlhf_games.replay.simulate import simulate
from rlhf_games.reward.clips import encode_clips
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.gradient import clip_returns

_ROOM = 3
"""Steps recorded for each step asked about, so that clips seldom overlap and hold-out stays apart from training."""
_EPISODES = 16
"""Whole episodes that are kept to measure the reward model on."""
_READ = 64
"""Clips that are read together."""
_RECENT = 10
"""Episodes over which scripted teachers measure what an average stretch brings (B-Pref)."""


class _Scores(NamedTuple):
    """What a strategy knows of ``C`` candidates."""

    first_returns: NDArray[Any]
    second_returns: NDArray[Any]
    features: NDArray[Any] | None
    """``[C, W * F]``; None where the strategy does not look at them."""
    asked_features: NDArray[Any] | None
    """The same of ``D`` questions asked before, by the same scales."""


class Asker:
    """Keeps what was recorded since the last questions, chooses clips from it and posts them."""

    def __init__(self, experiment: Experiment, game: Game, ensemble: RewardEnsemble, store: Store) -> None:
        self._experiment, self._game, self._ensemble, self._store = experiment, game, ensemble, store
        self._encode = jax.jit(ensemble.encode)
        self._recorder = EpisodeRecorder(game.spec, experiment.record.lanes)
        self._lanes: list[list[Replay]] = [[] for _ in range(experiment.record.lanes)]
        self._known: dict[str, Replay] = {}
        self._finished: list[tuple[float, int]] = []
        self._whole: deque[Replay] = deque(maxlen=_EPISODES)
        self._session = store.session or experiment.name
        self.questions = Questions(store, self._session)
        self._asked: list[tuple[Clip, ...]] = []
        """The clips of each question so far."""
        self._means: dict[Clip, NDArray[np.float32]] = {}
        """Mean features of clips that were asked about, where the strategy looks at them."""
        self.recorded_return = math.nan
        """Mean true return of the episodes that the recorder's games finished before the last questions (and of a few before them)."""
        self.reader = ClipReader(game, self.fetch)

    def fetch(self, replay_id: str) -> Replay:
        """A replay of this run, from memory or from the store."""
        if replay_id not in self._known:
            whole = [replay for replay in self._whole if replay.id == replay_id]
            self._known[replay_id] = whole[0] if whole else self._store.replay(replay_id)
        return self._known[replay_id]

    @property
    def episodes(self) -> tuple[Replay, ...]:
        """The last few episodes that the recorder's games finished, oldest first."""
        return tuple(self._whole)

    def rounds(self, count: int) -> int:
        """How many recordings it takes to ask ``count`` questions: candidates without a step in common."""
        record, query = self._experiment.record, self._experiment.feedback.query
        room = _ROOM if query.at_random else max(_ROOM, query.candidates_factor)
        needed = room * self._experiment.feedback.shown * count * query.clip_length
        return max(1, math.ceil(needed / (record.lanes * record.steps)))

    def observe(self, chunk: Chunk, policy: str) -> None:
        """Takes the next steps of the recorder's games."""
        for replay in self._recorder.add(chunk, policy):
            self._lanes[replay.lane].append(replay)
            self._whole.append(replay)
            self._finished.append((replay.checksum.returns[0], replay.length))

    def ask(self, count: int, iteration: int, params: RewardParams, policy: str) -> list[int]:
        """Posts ``count`` questions (fewer where too little was recorded) about what was observed; returns their ids.

        Asking the same iteration of the same run again posts nothing twice (`Questions.post`).
        """
        lanes = [list(lane) for lane in self._lanes]
        for replay in self._recorder.open_episodes(policy):
            lanes[replay.lane].append(replay)
        self._known |= {replay.id: replay for lane in lanes for replay in lane}
        chosen, rng = self._chosen(lanes, count, iteration, params, policy)
        ids = self.questions.post(chosen, iteration, rng)
        self._lanes = [[] for _ in lanes]
        self.recorded_return = float(np.mean([r for r, _ in self._finished])) if self._finished else math.nan
        self._finished = self._finished[-_RECENT:]
        asked = {clip for clips in self._asked for clip in clips}
        self._means = {clip: mean for clip, mean in self._means.items() if clip in asked}
        used = {segment.replay_id for clip in asked for segment in clip.segments}
        self._known = {replay_id: replay for replay_id, replay in self._known.items() if replay_id in used}
        return ids

    def _chosen(
        self, lanes: Sequence[Sequence[Replay]], count: int, iteration: int, params: RewardParams, policy: str
    ) -> tuple[list[QueryDraft], np.random.Generator]:
        """The questions to ask, and the generator that they were drawn with."""
        e, query = self._experiment, self._experiment.feedback.query
        rng = streams.generator(streams.Stream.ASKING, e.seed, iteration)
        if not count:
            return [], rng
        random = query.at_random
        shown = e.feedback.shown
        wanted = shown * (3 if random else query.candidates_factor) * count
        seats = tuple(range(self._game.spec.players))
        how: dict[str, Any] = {"ends": e.episode_ends, "half_life": query.half_life, "cross_ends": query.cross_ends}
        clips = cut_clips(lanes, query.clip_length, rng, wanted, seats=seats, **how)
        keys = [same_steps(clip, self.fetch) for clip in clips]
        groups: Sequence[Group]
        if e.feedback.kind == "preference":
            groups = pair_up(clips, rng, wanted, keys, self.episode_of)
        else:
            groups = group_up(clips, rng, -(-wanted // shown), shown, keys, self.episode_of)
        scores = None if random or not groups else self._scores(clips, groups, params)
        asked = [clip for shown_clips in self._asked for clip in shown_clips]
        known = {} if scores is None else scores._asdict()
        chosen = select(query, count, clips, groups, rng, asked=asked, episode_of=self.episode_of, **known)
        return self._drafts(clips, groups, chosen, iteration, policy), rng

    def _drafts(self, clips: list[Clip], groups: Sequence[Group], chosen: Selection, iteration: int, policy: str) -> list[QueryDraft]:
        e = self._experiment
        recent = self._finished[-_RECENT:]
        fields: dict[str, Any] = {"session": self._session, "iteration": iteration, "policy_version": policy, "reward_version": policy}
        fields["wanted"] = e.feedback.wanted
        if recent:
            fields |= {"recent_return": float(np.mean([r for r, _ in recent])), "recent_length": float(np.mean([n for _, n in recent]))}
        found = drafts(e.feedback.query, clips, groups, chosen, e.feedback.kind, **fields)
        self._asked += [draft.clips for draft in found]
        used = {segment.replay_id for draft in found for clip in draft.clips for segment in clip.segments}
        self._store.add_replays([self.fetch(replay_id) for replay_id in sorted(used)])
        return found

    def episode_of(self, replay_id: str) -> int:
        """Replays of the same seed are the same episode, as far as each was recorded."""
        return self.fetch(replay_id).seed

    def _scores(self, clips: Sequence[Clip], groups: Sequence[Group], params: RewardParams) -> _Scores:
        batch = self.reader.read(clips, self._experiment.feedback.query.clip_length)
        features = encode_clips(self._encode, batch)
        returns = np.asarray(_clip_returns(self._ensemble, params, features, batch.mask))
        members = np.array(groups)
        first, second = _compared(returns, members)
        if not self._experiment.feedback.query.needs_features:
            return _Scores(first, second, None, None)
        means = _means(features, batch.mask)
        centre, scale = means.mean(axis=0), means.std(axis=0)
        self._means |= dict(zip(clips, means, strict=True))
        before = self._asked_means()
        asked = None if before is None else _together(_standardised(before, centre, scale))
        together = _together(_standardised(means[members], centre, scale))
        return _Scores(first, second, together, asked)

    def _asked_means(self) -> NDArray[np.float32] | None:
        """``[D, W, F]`` mean features of the clips of all questions so far; those that nobody looked at here are read now."""
        wanted = list(dict.fromkeys(clip for clips in self._asked for clip in clips))
        new = [clip for clip in wanted if clip not in self._means]
        for begin in range(0, len(new), _READ):
            some = new[begin : begin + _READ]
            batch = self.reader.read(some, self._experiment.feedback.query.clip_length)
            self._means |= dict(zip(some, _means(encode_clips(self._encode, batch), batch.mask), strict=True))
        return np.stack([[self._means[clip] for clip in clips] for clips in self._asked]) if self._asked else None

    def state(self, policy: str) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values: the episodes being recorded (as replays), what recent ones brought, what was asked."""
        playing = [replay.to_bytes().hex() for replay in self._recorder.open_episodes(policy)]
        whole = [replay.to_bytes().hex() for replay in self._whole]
        finished = [list(entry) for entry in self._finished]
        asked = {"asked": sorted(self.questions.ids), "asked_checksum": self.questions.checksum}
        return {"playing": playing, "whole": whole, "finished": finished, **asked}

    def restore(self, state: Mapping[str, Any], iteration: int) -> list[Query]:
        """Goes on from what ``state`` gave, by playing the episodes again.

        Returns:
          The questions that were asked before ``iteration``, oldest first.
        """
        replays = [Replay.from_bytes(bytes.fromhex(text)) for text in state["playing"]]
        for replay, track in zip(replays, simulate(self._game, replays), strict=True):
            self._recorder.go_on(replay, track.observation[1:], track.reward)
        self._whole.extend(Replay.from_bytes(bytes.fromhex(text)) for text in state.get("whole", ()))
        self._finished = [(float(total), int(length)) for total, length in state["finished"]]
        mine = self.questions.restore(state.get("asked"), iteration, self._experiment.feedback.kind, state.get("asked_checksum"))
        self._asked = [query.clips for query in mine]
        return mine


def _compared(returns: NDArray[Any], members: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the clips of each question are compared with: of two, the other (``[M, C]``); of more, all pairs (``[M, C, pairs]``).

    A clip that is rated alone is compared with the average clip.

    Args:
      returns: ``[M, clips]``.
      members: ``[C, W]`` clips of each question.
    """
    width = members.shape[1]
    if width == 1:
        alone = returns[:, members[:, 0]]
        return alone, np.broadcast_to(returns.mean(axis=1, keepdims=True), alone.shape)
    first, second = np.triu_indices(width, 1)
    pairs = returns[:, members[:, first]], returns[:, members[:, second]]
    return (pairs[0][..., 0], pairs[1][..., 0]) if width == 2 else pairs


def _means(features: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``[C, F]`` means over each clip's steps, of features ``[C, L, ...]``."""
    flat = np.asarray(features, np.float32).reshape(*mask.shape, -1)
    means: NDArray[np.float32] = (flat * mask[..., None]).sum(1) / np.maximum(mask.sum(1)[:, None], 1)
    return means.astype(np.float32)


def _standardised(means: NDArray[np.float32], centre: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """In standard deviations over the candidates: what is rare lies far out; features that are the same in all count for nothing."""
    return np.where(scale > 1e-6, (means - centre) / np.maximum(scale, 1e-6), 0.0).astype(np.float32)


def _together(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[C, W, F]`` to ``[C, W * F]``: a question is where its clips are."""
    return means.reshape(len(means), -1)


_clip_returns = jax.jit(clip_returns, static_argnums=0)
