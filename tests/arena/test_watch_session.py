"""Watch with a clock and workers that stand still until told; the list of episodes and the head that runs along one."""

from __future__ import annotations

from typing import Any

import pytest

from rlhf_games.arena.episodes import Episode, in_order
from rlhf_games.arena.insight import policy_key
from rlhf_games.arena.playhead import Playhead

from .asking_world import KnownMind, World, settle, walk_replay
from .conftest import Time


def test_watch_plays_the_newest_and_what_comes_meanwhile(world: World, clock: Time) -> None:
    session = world.watch()
    settle(session)
    newest = session.reel.replay_id
    clock.now += 1.0
    session.tick()
    assert session.head.t == 10, "ten decisions a second"
    assert session.shown() == (10, 0)
    world.store.add_replays([walk_replay(world.game, 50, policy="tiny/2", at=99.0)])
    clock.now += 2.0
    settle(session)
    assert session.unseen == 1
    assert session.reel.replay_id == newest, "what is being watched goes on"
    for _ in range(20):
        clock.now += 0.3
        session.tick()
    assert session.episode is not None
    assert session.episode.policy == "tiny/2"
    session.go(1)
    settle(session)
    assert session.reel.replay_id == newest
    session.close()


@pytest.mark.parametrize("kind", ["watch", "ask"])
def test_the_newest_policy_plays_a_new_game(world: World, kind: str) -> None:
    session: Any = getattr(world, kind)()
    settle(session)
    session.play_fresh()
    session.play_fresh()
    settle(session)
    tape = session.reel.tape
    assert (tape.replay.seed, tape.replay.policy, tape.replay.player, tape.length) == (123, "tiny/1", ("agent",), 40)
    first = KnownMind().policy(tape.look(0, 1).observation[0], policy_key(123, 0), tape.legal(0))
    assert tape.replay.actions[0].tolist() == first.tolist()
    assert world.store.replay(tape.replay.id) == tape.replay
    assert session.episode is not None, "it is in the list at once"
    session.close()


def test_watch_scrubs_steps_and_runs_at_any_speed(world: World, clock: Time) -> None:
    session = world.watch()
    settle(session)
    session.seek(20)
    session.step(1)
    assert session.shown() == (20, 1), "two pictures a decision"
    session.step(1)
    assert session.shown() == (21, 0)
    session.step(-1)
    assert session.shown() == (20, 1)
    session.head.toggle()
    session.head.faster(True)
    clock.now += 1.0
    session.tick()
    assert session.head.position == pytest.approx(20.5 + 15)
    session.close()


def test_watch_shows_what_policies_played_only(world: World) -> None:
    plain = walk_replay(world.game, 77, policy="", at=500.0)
    from dataclasses import replace

    world.store.add_replays([replace(plain, player=("bob",))])
    session = world.watch()
    settle(session)
    assert all(episode.player == ("agent",) for episode in session.episodes.listed)
    session.close()


def test_an_episode_that_does_not_reproduce_is_named_not_shown(world: World) -> None:
    from dataclasses import replace

    world.store.add_replays([replace(walk_replay(world.game, 77, at=500.0), seed=78)])
    session = world.watch()
    settle(session)
    assert session.reel.phase == "broken"
    assert "no longer reproduces" in session.reel.problem
    session.go(1)
    settle(session)
    assert session.reel.phase == "ready"
    session.close()


def test_episodes_are_in_order_and_beginnings_are_left_out() -> None:
    def episode(name: str, policy: str, at: float, seed: int, length: int = 10) -> Episode:
        return Episode(name, "g", policy, ("agent",), length, (0.0,), at, seed, True)

    found = [
        episode("a", "p1", 1.0, 1),
        episode("b", "p2", 2.0, 2),
        episode("c", "p1", 3.0, 3),
        episode("d", "p2", 5.0, 4),
        episode("e", "p1", 2.5, 4, 3),
    ]
    assert [one.id for one in in_order(found)] == ["d", "b", "c", "a"]


def test_a_playhead_rests_at_the_end_and_begins_again() -> None:
    clock = Time()
    head = Playhead(clock)
    head.toggle()
    clock.now += 5
    head.tick(10.0, 20)
    assert (head.t, head.over) == (20, True)
    head.paused = True
    head.toggle()
    assert head.t == 0
