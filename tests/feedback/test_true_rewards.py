"""Teachers on a real game: replays are played again, in this process and in another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro

from rlhf_games.cli.teach import Teach
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import Game
from rlhf_games.feedback.answers import Evaluation
from rlhf_games.feedback.labels import LabelReader
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.feedback.teachers import GameRewards
from rlhf_games.replay.checksum import checksum_of, seen_digests
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.replay import Replay
from rlhf_games.workspace import load_game

ROOT = Path(__file__).parents[2]
NAME = "minatar/breakout"


def play(game: Game, seed: int) -> tuple[Replay, np.ndarray[Any, Any]]:
    """A whole episode of random play, and its rewards ``[T]``."""
    session, rng = game.open(seed), np.random.default_rng(seed)
    actions, rewards, seen = [], [], []
    while not (session.timestep.terminated or session.timestep.truncated):
        actions.append(rng.integers(0, session.spec.actions.n, 1).astype(np.int32))
        timestep = session.step(actions[-1])
        rewards.append(timestep.reward)
        seen.append(timestep.observation)
    reward = np.array(rewards, np.float32)
    sums = checksum_of(reward, seen[-1], seen_digests(seen.__getitem__, len(seen)))
    spec = session.spec
    replay = Replay(spec.name, spec.version, spec.options, seed, np.array(actions), sums, "terminated", ("agent",))
    return replay, reward[:, 0]


@pytest.fixture(scope="module")
def episodes() -> list[tuple[Replay, np.ndarray[Any, Any]]]:
    game = load_game(NAME)
    played = [play(game, seed) for seed in range(40)]
    return [(replay, reward) for replay, reward in played if reward.sum() > 0][:4]


@pytest.fixture
def posted(tmp_path: Path, episodes: list[tuple[Replay, np.ndarray[Any, Any]]]) -> Iterator[tuple[Store, dict[Clip, float]]]:
    """A store with a query for each two episodes' last steps, and the true return of each clip."""
    with Store.open(tmp_path / "store.sqlite") as store:
        store.add_replays([replay for replay, _ in episodes])
        returns: dict[Clip, float] = {}
        for replay, reward in episodes:
            for length in (3, replay.length):
                returns[Clip((Segment(replay.id, replay.length - length, length),))] = float(reward[-length:].sum())
        clips = list(returns)
        store.post_queries([QueryDraft("preference", (a, b)) for a in clips for b in clips if a != b])
        yield store, returns


def check_labels(store: Store, returns: dict[Clip, float]) -> None:
    reader = LabelReader(store)
    reader.poll()
    assert len(reader.labels) == len(returns) * (len(returns) - 1)
    for label in reader.labels:
        margin = returns[label.first] - returns[label.second]
        assert label.kind == ("first" if margin > 0 else "second" if margin < 0 else "tie")
    assert {label.kind for label in reader.labels} == {"first", "second", "tie"}


def test_true_rewards_are_those_of_play(episodes: list[tuple[Replay, np.ndarray[Any, Any]]], tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        store.add_replays([replay for replay, _ in episodes])
        (first, a), (second, b) = episodes[:2]
        clips = [
            Clip((Segment(first.id, 2, 5),)),
            Clip((Segment(first.id, first.length - 4, 4), Segment(second.id, 0, 6))),
            Clip((Segment(second.id, 0, second.length),)),
        ]
        true = [a[2:7], np.concatenate([a[-4:], b[:6]]), b]
        plain, fined = (GameRewards(store, load_game, end_penalty=penalty)(clips) for penalty in (0.0, 10.0))
        for found, expected in zip(plain, true, strict=True):
            np.testing.assert_array_equal(found, expected)
        # Each episode ends once, at its last step.
        np.testing.assert_array_equal([f.sum() - p.sum() for f, p in zip(fined, plain, strict=True)], [0, -10, -10])
        assert fined[1][3] == true[1][3] - 10


def test_the_command_answers_what_waits(posted: tuple[Store, dict[Clip, float]], capsys: pytest.CaptureFixture[str]) -> None:
    store, returns = posted
    assert tyro.cli(Teach, args=[store.name, "--poll", "0.01", "--idle", "0.02", "--batch", "5"]).run() == 0
    check_labels(store, returns)
    assert "teacher-oracle gave 56 answers" in capsys.readouterr().out


def test_the_command_stops_at_its_limit(posted: tuple[Store, dict[Clip, float]]) -> None:
    store, _ = posted
    assert tyro.cli(Teach, args=[store.name, "--limit", "7", "--teacher", "mistake", "--mistake", "0.5", "--annotator", "max"]).run() == 0
    (person,) = store.annotators()
    assert (person.name, person.kind, person.details["mistake"], person.answers) == ("max", "teacher", 0.5, 7)


def test_the_command_cheers_at_what_earned_points(
    posted: tuple[Store, dict[Clip, float]], episodes: list[tuple[Replay, np.ndarray[Any, Any]]]
) -> None:
    store, _ = posted
    args = [store.name, "--evaluate", "--poll", "0.01", "--idle", "0.02", "--annotator", "max"]
    assert tyro.cli(Teach, args=args).run() == 0
    said = store.answers(kinds=("evaluation",)).answers
    rewards = {replay.id: reward for replay, reward in episodes}
    assert 0 < len(said) <= sum(int((reward > 0).sum()) for reward in rewards.values())
    for answer in said:
        assert answer.annotator == "max-live"
        assert answer.value == Evaluation(1.0)
        assert answer.step is not None
        assert rewards[answer.replay_id or ""][: answer.step].max() > 0, "after the point"
    before = len(store.answers().answers)
    assert tyro.cli(Teach, args=args).run() == 0
    assert len(store.answers().answers) == before


def test_wrong_flags_are_refused(tmp_path: Path, posted: tuple[Store, dict[Clip, float]]) -> None:
    store, _ = posted
    for args, message in [
        ([str(tmp_path / "none")], "no store here"),
        ([store.name, "--gamma", "2"], "TeacherConfig.gamma"),
        ([store.name, "--annotator", " x"], "annotator's name"),
        ([store.name, "--batch", "0"], "--batch"),
        ([store.name, "--dropped", "0.1"], "add --evaluate"),
        ([store.name, "--evaluate", "--flipped", "1.1"], "EvaluatorConfig.flipped"),
        ([store.name, "--teacher", "skip"], "recent_return"),
    ]:
        with pytest.raises(UserError, match=message):
            tyro.cli(Teach, args=args).run()


def test_two_teachers_in_processes_of_their_own_share_the_work_and_stop_cleanly(posted: tuple[Store, dict[Clip, float]]) -> None:
    store, returns = posted
    program = "import sys, tyro; from rlhf_games.cli.teach import Teach; sys.exit(tyro.cli(Teach, args=sys.argv[1:]).run())"
    command = [sys.executable, "-c", program, store.name, "--poll", "0.02", "--batch", "4", "--annotator"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    signals = {"ann": signal.SIGINT, "bob": signal.SIGTERM}
    children = {name: subprocess.Popen([*command, name], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) for name in signals}
    deadline = time.monotonic() + 120
    while (store.progress().open or len(store.annotators()) < 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    given = {person.name: person.answers for person in store.annotators()}
    for name, child in children.items():
        with child:
            child.send_signal(signals[name])
            output, _ = child.communicate(timeout=60)
            assert child.returncode == 0
            assert f"{name} gave {given[name]} answers" in output
    assert sum(given.values()) == 56
    check_labels(store, returns)
