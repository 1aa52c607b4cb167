"""From what the recorder's games did to questions in the store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import Game
from rlhf_games.experiment.spec import Experiment
from rlhf_games.feedback.queries import Group, Selection, drafts, group_up, pair_up, select
from rlhf_games.feedback.store import QueryDraft, Store
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
_RECENT = 10
"""Episodes over which scripted teachers measure what an average stretch brings (B-Pref)."""


class _Scores(NamedTuple):
    """What a strategy knows of ``C`` candidates."""

    first_returns: NDArray[Any]
    second_returns: NDArray[Any]
    features: NDArray[Any]


class Asker:
    """Keeps what was recorded since the last questions, chooses clips from it and posts them."""

    def __init__(self, experiment: Experiment, game: Game, ensemble: RewardEnsemble, store: Store) -> None:
        self._experiment, self._game, self._ensemble, self._store = experiment, game, ensemble, store
        self._encode = jax.jit(ensemble.encode)
        self._recorder = EpisodeRecorder(game.spec, experiment.record.lanes)
        self._lanes: list[list[Replay]] = [[] for _ in range(experiment.record.lanes)]
        self._known: dict[str, Replay] = {}
        self._finished: list[tuple[float, int]] = []
        self._asked: list[Clip] = []
        self.recorded_return = math.nan
        """Mean true return of the episodes that the recorder's games finished before the last questions (and of a few before them)."""
        self.reader = ClipReader(game, self.fetch)

    def fetch(self, replay_id: str) -> Replay:
        """A replay of this run, from memory or from the store."""
        if replay_id not in self._known:
            self._known[replay_id] = self._store.replay(replay_id)
        return self._known[replay_id]

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
            self._finished.append((replay.checksum.returns[0], replay.length))

    def ask(self, count: int, iteration: int, params: RewardParams, policy: str) -> list[int]:
        """Posts ``count`` questions (fewer where too little was recorded) about what was observed; returns their ids.

        Asking the same iteration of the same run again posts nothing twice.
        """
        lanes = [list(lane) for lane in self._lanes]
        for replay in self._recorder.open_episodes(policy):
            lanes[replay.lane].append(replay)
        self._known |= {replay.id: replay for lane in lanes for replay in lane}
        ids = self._post(lanes, count, iteration, params, policy) if count else []
        self._lanes = [[] for _ in lanes]
        self.recorded_return = float(np.mean([r for r, _ in self._finished])) if self._finished else math.nan
        self._finished = self._finished[-_RECENT:]
        used = {segment.replay_id for clip in self._asked for segment in clip.segments}
        self._known = {replay_id: replay for replay_id, replay in self._known.items() if replay_id in used}
        return ids

    def _post(self, lanes: Sequence[Sequence[Replay]], count: int, iteration: int, params: RewardParams, policy: str) -> list[int]:
        e, query = self._experiment, self._experiment.feedback.query
        rng = np.random.default_rng([e.seed, iteration])
        random = query.at_random
        shown = e.feedback.shown
        wanted = shown * (3 if random else query.candidates_factor) * count
        seats = tuple(range(self._game.spec.players))
        clips = cut_clips(lanes, query.clip_length, rng, wanted, ends=e.episode_ends, half_life=query.half_life, seats=seats)
        keys = [same_steps(clip, self.fetch) for clip in clips]
        groups: Sequence[Group]
        if e.feedback.kind == "preference":
            groups = pair_up(clips, rng, wanted, keys, self.episode_of)
        else:
            groups = group_up(clips, rng, -(-wanted // shown), shown, keys, self.episode_of)
        scores = None if random or not groups else self._scores(clips, groups, params)
        chosen = select(
            query, count, clips, groups, rng, asked=self._asked, episode_of=self.episode_of, **({} if scores is None else scores._asdict())
        )
        return self._store.post_queries(self._drafts(clips, groups, chosen, iteration, policy), rng)

    def _drafts(self, clips: list[Clip], groups: Sequence[Group], chosen: Selection, iteration: int, policy: str) -> list[QueryDraft]:
        e = self._experiment
        recent = self._finished[-_RECENT:]
        fields: dict[str, Any] = {"session": e.name, "iteration": iteration, "policy_version": policy, "reward_version": policy}
        fields["wanted"] = e.feedback.wanted
        if recent:
            fields |= {"recent_return": float(np.mean([r for r, _ in recent])), "recent_length": float(np.mean([n for _, n in recent]))}
        found = drafts(e.feedback.query, clips, groups, chosen, e.feedback.kind, **fields)
        keyed = [replace(draft, key=f"{e.name}/{iteration}/{i}") for i, draft in enumerate(found)]
        asked = [clip for draft in keyed for clip in draft.clips]
        self._asked += asked
        used = {segment.replay_id for clip in asked for segment in clip.segments}
        self._store.add_replays([self.fetch(replay_id) for replay_id in sorted(used)])
        return keyed

    def episode_of(self, replay_id: str) -> int:
        """Replays of the same seed are the same episode, as far as each was recorded."""
        return self.fetch(replay_id).seed

    def _scores(self, clips: Sequence[Clip], groups: Sequence[Group], params: RewardParams) -> _Scores:
        batch = self.reader.read(clips, self._experiment.feedback.query.clip_length)
        features = encode_clips(self._encode, batch)
        returns = np.asarray(_clip_returns(self._ensemble, params, features, batch.mask))
        means = _standardised(np.asarray(features, np.float32).reshape(*batch.mask.shape, -1), batch.mask)
        members = np.array(groups)
        together = np.concatenate([means[members[:, place]] for place in range(members.shape[1])], axis=1)
        first, second = _compared(returns, members)
        return _Scores(first, second, together)

    def state(self, policy: str) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values: the episodes being recorded (as replays), and what recent ones brought."""
        playing = [replay.to_bytes().hex() for replay in self._recorder.open_episodes(policy)]
        return {"playing": playing, "finished": [list(entry) for entry in self._finished]}

    def restore(self, state: Mapping[str, Any], iteration: int) -> None:
        """Goes on from what ``state`` gave, by playing the episodes again; questions asked before ``iteration`` are known again."""
        replays = [Replay.from_bytes(bytes.fromhex(text)) for text in state["playing"]]
        for replay, track in zip(replays, simulate(self._game, replays), strict=True):
            self._recorder.go_on(replay, track.observation[1:], track.reward)
        self._finished = [(float(total), int(length)) for total, length in state["finished"]]
        queries = self._store.queries(self._store.query_ids(kind=self._experiment.feedback.kind))
        mine = [query for query in queries if query.session == self._experiment.name and query.iteration < iteration]
        self._asked = [clip for query in mine for clip in query.clips]


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


def _standardised(features: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``[C, F]`` means over each clip's steps, in standard deviations over the clips: what is rare lies far out."""
    means: NDArray[np.float32] = (features * mask[..., None]).sum(1) / np.maximum(mask.sum(1)[:, None], 1)
    deviation = means.std(axis=0)
    return np.where(deviation > 1e-6, (means - means.mean(axis=0)) / np.maximum(deviation, 1e-6), 0.0).astype(np.float32)


_clip_returns = jax.jit(clip_returns, static_argnums=0)
