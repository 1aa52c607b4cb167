"""From an answer of any kind, as a client posts it, to what it does to the reward of what was shown."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from rlhf_games.feedback.answers import AnswerValue, Demonstration, Evaluation, Ranking, Rating, Takeover
from rlhf_games.feedback.free_standing import FreeStanding
from rlhf_games.feedback.labels import LabelReader
from rlhf_games.feedback.store import AnswerDraft, QueryDraft, Store
from rlhf_games.replay.checksum import checksum_of, seen_digests
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.replay import Replay
from rlhf_games.reward.dataset import AnswerDataset
from rlhf_games.testing.probes import MatchObservation

from .pull import Pull

LENGTH = 4


@dataclass(frozen=True)
class Match(MatchObservation):
    """Twelve coins: the action that matches the coin earns."""

    probe: ClassVar[str] = "twelve"
    length: ClassVar[int] = 12


GAME = Match()


def play(seed: int, actions: list[int]) -> Replay:
    session = GAME.open(seed)
    seen, rewards = [session.timestep.observation], []
    for action in actions:
        step = session.step(np.array([action], np.int32))
        seen.append(step.observation)
        rewards.append(step.reward)
    over = bool(session.timestep.terminated)
    session.close()
    sums = checksum_of(np.stack(rewards).astype(np.float32), seen[-1], seen_digests(lambda t: seen[t + 1], len(rewards)))
    taken = np.array(actions, np.int32)[:, None]
    spec = GAME.spec
    return Replay(spec.name, spec.version, spec.options, seed, taken, sums, "terminated" if over else "unfinished", ("agent",))


PLAYED = [play(seed, [1] * 12) for seed in range(6)]
CORRECTED = play(0, [1] * 3 + [0] * 9)
"""The episode of the first replay, with other hands from step 3 on."""


@cache
def pull() -> Pull:
    return Pull.fresh(GAME.spec, action=True)


class World:
    """A store, a learner on it and people who answer."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.add_replays([*PLAYED, CORRECTED])
        known = {replay.id: replay for replay in (*PLAYED, CORRECTED)}
        self.reader = ClipReader(GAME, known.__getitem__)
        self.pull = pull()
        self.labels = LabelReader(store, "run", FreeStanding(store, GAME.spec, "run", LENGTH))
        self.data = AnswerDataset(self.reader, self.pull.ensemble, LENGTH, 2, 0, 0.0, bootstrap=False)

    def ask(self, kind: str, clips: tuple[Clip, ...], display: tuple[int, ...] | None = None) -> int:
        [query] = self.store.post_queries([QueryDraft(kind, clips, session="run", display=display, wanted=9)])
        return query

    def say(self, value: AnswerValue, query: int | None = None, replay: Replay | None = None, step: int | None = None) -> int:
        if query is not None:
            self.store.lease("ann", kinds=[value.kind])
        about = {"query_id": query, "replay_id": replay.id if replay else None, "step": step}
        return self.store.post_answers([AnswerDraft("ann", value, 1.0, 2.0, str(uuid.uuid4()), **about)])[0]  # type: ignore[arg-type]

    def push(self, better: Clip, worse: Clip | None = None) -> float:
        """How fast r(better) - r(worse) grows along the downhill direction of the fit's loss; 0 where nothing teaches."""
        self.labels.poll()
        self.data.update(self.labels.labels)
        return self.pull.push(self.reader, self.data.rows(), better, worse)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store.open(tmp_path / "store.sqlite") as store:
        yield World(store)


def clip(replay: Replay, start: int = 0, length: int = LENGTH) -> Clip:
    return Clip((Segment(replay.id, start, length),))


@pytest.fixture(scope="module")
def three() -> tuple[Clip, ...]:
    """Clips that show different coins."""
    read = ClipReader(GAME, {replay.id: replay for replay in PLAYED}.__getitem__)
    every = [clip(replay) for replay in PLAYED]
    totals = read.read(every).reward.sum(1)
    order = np.argsort(totals, kind="stable")
    return every[order[-1]], every[order[len(order) // 2]], every[order[0]]


@pytest.mark.parametrize("display", list(permutations(range(3))))
def test_a_ranking_lifts_the_better_clip_wherever_it_was_shown(world: World, three: tuple[Clip, ...], display: tuple[int, ...]) -> None:
    query = world.ask("ranking", three, display)
    # the clip shown at the last place is best, the one at the first worst
    answer = world.say(Ranking((2, 1, 0)), query)
    best, worst = three[display[2]], three[display[0]]
    assert world.push(best, worst) > 1e-6
    world.store.retract(answer, "ann")
    assert world.push(best, worst) == 0.0
    world.say(Ranking((0, 1, 2)), query)
    assert world.push(best, worst) < -1e-6


def test_ties_of_a_ranking_pull_its_clips_together(world: World, three: tuple[Clip, ...]) -> None:
    query = world.ask("ranking", three, (1, 0, 2))
    world.say(Ranking((0, 0, 0)), query)
    apart = world.pull.worth(world.reader, three[0])[0] - world.pull.worth(world.reader, three[2])[0]
    assert abs(apart) > 1e-3
    assert np.sign(world.push(three[0], three[2])) == -np.sign(apart)


def test_who_cannot_tell_teaches_nothing_but_has_answered(world: World, three: tuple[Clip, ...]) -> None:
    world.say(Ranking(()), world.ask("ranking", three))
    world.say(Rating(None), world.ask("rating", three[:1]))
    assert world.push(three[0], three[2]) == 0.0
    assert world.labels.answered == 2


def test_stars_lift_a_clip_and_too_few_push_it_down(world: World, three: tuple[Clip, ...]) -> None:
    query = world.ask("rating", three[:1])
    answer = world.say(Rating(5), query)
    assert world.push(three[0]) > 1e-6
    world.store.retract(answer, "ann")
    assert world.push(three[0]) == 0.0
    world.say(Rating(1), query)
    assert world.push(three[0]) < -1e-6


def test_a_cheer_lifts_the_steps_before_it_and_a_scolding_pushes_them_down(world: World) -> None:
    rate = GAME.spec.decisions_per_second
    window = clip(PLAYED[2], max(0, 10 - int(4 * rate)), min(10, int(4 * rate)))
    answer = world.say(Evaluation(1.0), replay=PLAYED[2], step=10)
    whole = world.push(window)
    assert whole > 1e-6
    world.store.retract(answer, "ann")
    assert world.push(window) == 0.0
    world.say(Evaluation(0.5), replay=PLAYED[2], step=10)
    assert world.push(window) == pytest.approx(0.5 * whole, rel=1e-4)
    world.say(Evaluation(-1.0), replay=PLAYED[2], step=10)
    assert world.push(window) < -1e-6


def test_a_cheer_at_the_very_beginning_is_about_nothing(world: World) -> None:
    world.say(Evaluation(1.0), replay=PLAYED[2], step=0)
    assert world.push(clip(PLAYED[2])) == 0.0


def test_a_cheer_in_an_episode_without_a_replay_waits_for_it(world: World) -> None:
    draft = AnswerDraft("ann", Evaluation(1.0), 1.0, 2.0, str(uuid.uuid4()), episode="now", step=10)
    world.store.post_answers([draft])
    assert world.push(clip(PLAYED[3])) == 0.0
    world.store.link_episode("now", PLAYED[3].id)
    assert world.push(clip(PLAYED[3], 4)) > 1e-6


def test_a_takeover_says_mine_is_better_than_what_the_agent_would_have_done(world: World) -> None:
    answer = world.say(Takeover(9, 0, PLAYED[0].id), replay=CORRECTED, step=3)
    mine, agents = clip(CORRECTED, 3), clip(PLAYED[0], 3)
    assert world.push(mine, agents) > 1e-6
    [label] = world.labels.labels
    assert label.clips == (mine, agents)
    world.store.retract(answer, "ann")
    assert world.push(mine, agents) == 0.0


@pytest.mark.parametrize("value", [Takeover(9), Takeover(9, 0, PLAYED[1].id), Takeover(9, 5, PLAYED[0].id)])
def test_a_takeover_without_a_comparison_says_nothing(world: World, value: Takeover) -> None:
    world.say(value, replay=CORRECTED, step=3)  # not simulated; from another state; a seat that the game has not
    assert world.push(clip(CORRECTED, 3), clip(PLAYED[0], 3)) == 0.0
    assert world.labels.labels == ()


def test_a_demonstration_is_better_than_clips_of_the_first_policy(world: World, three: tuple[Clip, ...]) -> None:
    answer = world.say(Demonstration(12), replay=CORRECTED, step=0)
    assert world.push(clip(CORRECTED)) == 0.0, "nothing to compare it with yet"
    world.ask("preference", (three[0], three[2]))
    mine = clip(CORRECTED, 4)
    pushed = world.push(mine)
    assert pushed > 1e-6
    labels = world.labels.labels
    assert [label.clips[0] for label in labels] == [clip(CORRECTED, start) for start in (0, 4, 8)]
    beside = {Clip((Segment(asked.segments[0].replay_id, start, LENGTH),)) for asked in (three[0], three[2]) for start in (4, 8)}
    assert {label.clips[1] for label in labels} <= beside, "clips of the same episodes that no question shows"
    again = LabelReader(world.store, "run", FreeStanding(world.store, GAME.spec, "run", LENGTH))
    again.poll()
    assert again.labels == labels, "the same partners whenever it is read"
    world.store.retract(answer, "ann")
    assert world.push(mine) == 0.0


@pytest.mark.parametrize(("stars", "sign"), [(5, 1), (1, -1)])
def test_a_rated_episode_moves_all_of_it_and_counts_as_one_clip(world: World, stars: int, sign: int) -> None:
    answer = world.say(Rating(stars), replay=PLAYED[4], step=0)
    assert sign * world.push(clip(PLAYED[4], 0, 12)) > 1e-6
    assert world.labels.answered == 0, "nobody asked, so no budget is used up"
    [label] = world.labels.labels
    steps = [step for segment in label.clips[0].segments for step in range(segment.start, segment.stop)]
    assert [step // 3 for step in steps] == [0, 1, 2, 3], "one step from each of as many stretches as a clip has steps"
    again = LabelReader(world.store, "run", FreeStanding(world.store, GAME.spec, "run", LENGTH))
    again.poll()
    assert again.labels == (label,), "the same steps whenever it is read"
    world.store.retract(answer, "ann")
    assert world.push(clip(PLAYED[4], 0, 12)) == 0.0


def test_what_is_rated_from_a_step_on_and_short_is_one_clip(world: World) -> None:
    world.say(Rating(5), replay=PLAYED[4], step=9)
    world.push(clip(PLAYED[4]))
    assert [label.clips for label in world.labels.labels] == [(clip(PLAYED[4], 9, 3),)]
    world.say(Rating(5), replay=PLAYED[4], step=12)
    world.push(clip(PLAYED[4]))
    assert len(world.labels.labels) == 1, "at its end there is nothing to rate"


def test_answers_about_another_game_say_nothing(world: World) -> None:
    other = Replay("else/where", "1", {}, 7, PLAYED[0].actions, PLAYED[0].checksum, "terminated", ("agent",))
    world.store.add_replays([other])
    world.say(Evaluation(1.0), replay=other, step=10)
    assert world.push(clip(PLAYED[0])) == 0.0
    assert world.labels.labels == ()


def test_who_does_not_ask_for_them_does_not_get_them(world: World) -> None:
    world.say(Evaluation(1.0), replay=PLAYED[2], step=10)
    reader = LabelReader(world.store)
    assert not reader.poll()
    assert reader.labels == ()
