"""Which pairs are asked: acquisition values by hand, honest control arm, no clip against itself."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.feedback.acquisition import disagreement, farthest_first, mean_entropy, mutual_information
from rlhf_games.feedback.queries import QueryConfig, Strategy, choose, drafts, group_up, overlap, pair_up, select
from rlhf_games.feedback.schedules import Schedule, quota
from rlhf_games.replay.clip import Clip, Segment

LOG3 = math.log(3.0)
"""σ(log 3) = 3/4."""
ALL: tuple[Strategy, ...] = get_args(Strategy)


def clip(replay: str, start: int, length: int = 25, seat: int = 0) -> Clip:
    return Clip((Segment(replay, start, length),), seat)


def config(strategy: Strategy, **more: float) -> QueryConfig:
    return QueryConfig(strategy, half_life=100.0 if strategy == "recency" else None, **more)  # type: ignore[arg-type]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_acquisition_by_hand() -> None:
    # members say 3/4 and 1/4; both 3/4; both 1/2
    difference = np.array([[LOG3, LOG3, 0.0], [-LOG3, LOG3, 0.0]])
    quarter = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    np.testing.assert_allclose(disagreement(difference), [0.25, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(mean_entropy(difference), [quarter, quarter, math.log(2)])
    np.testing.assert_allclose(mutual_information(difference), [math.log(2) - quarter, 0.0, 0.0], atol=1e-12)


def test_acquisition_of_certain_members() -> None:
    difference = np.array([[1e4], [-1e4]])
    np.testing.assert_allclose(disagreement(difference), 0.5)
    np.testing.assert_allclose(mean_entropy(difference), 0.0)
    np.testing.assert_allclose(mutual_information(difference), math.log(2))


@given(st.lists(st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1, max_size=5))
def test_mutual_information_is_between_nothing_and_one_bit(rows: list[list[float]]) -> None:
    found = mutual_information(np.array(rows))
    assert (found >= 0).all()
    assert (found <= math.log(2) + 1e-9).all()
    np.testing.assert_allclose(found, mutual_information(-np.array(rows)), atol=1e-9)


@pytest.mark.parametrize(("strategy", "best"), [("disagreement", [2, 0]), ("mutual_information", [2, 0]), ("entropy", [3, 1])])
def test_the_best_come_first(strategy: Strategy, best: list[int]) -> None:
    first = np.array([[1.0, 0.1, 3.0, 0.0], [-1.0, 0.1, -3.0, 0.0]]) + 7.0
    indices, values = choose(strategy, 2, first, np.full((2, 4), 7.0), None, rng())
    assert indices.tolist() == best
    assert values[0] > values[1]


def test_k_centre_is_farthest_first() -> None:
    features = np.array([[0.0], [1.0], [10.0], [4.0]])
    chosen, distance = farthest_first(features, 3, rng(), start=np.array([[0.0]]))
    assert chosen.tolist() == [2, 3, 1]
    assert distance.tolist() == pytest.approx([10.0, 4.0, 1.0])
    chosen, distance = farthest_first(features, 4, rng(1))
    assert sorted(chosen.tolist()) == [0, 1, 2, 3]
    assert np.isnan(distance[0])
    assert not np.isnan(distance[1:]).any()
    assert len(set(farthest_first(np.zeros((5, 2)), 5, rng())[0].tolist())) == 5


def test_the_better_half_is_spread_out() -> None:
    scores = np.array([9.0, 8.0, 7.0, 0.1, 0.2, 0.3])
    features = np.array([[0.0], [0.1], [5.0], [100.0], [200.0], [300.0]])
    indices, values = choose("disagreement_k_centre", 2, np.stack([scores, -scores]), np.zeros((2, 6)), features, rng(), np.array([[0.0]]))
    assert indices.tolist() == [2, 1]
    assert values[1] == pytest.approx(disagreement(np.array([[8.0], [-8.0]]))[0])
    every, _ = choose("entropy_k_centre", 9, np.stack([scores, -scores]), np.zeros((2, 6)), features, rng())
    assert sorted(every.tolist()) == list(range(6))


def test_equals_are_drawn_at_random() -> None:
    seen = {int(choose("entropy", 1, np.zeros((2, 8)), np.zeros((2, 8)), None, rng(seed))[0][0]) for seed in range(60)}
    assert len(seen) >= 6


def test_what_is_missing_is_named() -> None:
    two = np.zeros((2, 4))
    for strategy, arguments, cure in (
        ("entropy", (None, None, np.zeros((4, 1))), "needs predicted returns"),
        ("k_centre", (two, two, None), "needs features"),
        ("disagreement", (two[:1], two[:1], None), "at least 2 members"),
        ("uniform", (None, None, None), "number of candidates"),
        ("uniform", (two, None, None), "belong together"),
        ("k_centre", (two, two, np.zeros((5, 1))), "number of candidates"),
        ("entropy", (two + np.nan, two, None), "finite"),
    ):
        with pytest.raises(ValueError, match=cure):
            choose(strategy, 1, *arguments, rng())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="half_life"):
        QueryConfig("recency")
    for name in ("candidates_factor", "clip_length", "control_share", "half_life"):
        with pytest.raises(ValueError, match=name):
            QueryConfig(**{name: -1})


def test_overlap_counts_steps_of_an_episode_from_any_seat() -> None:
    assert overlap(clip("a", 0), clip("a", 24, seat=1))
    assert not overlap(clip("a", 0), clip("a", 25))
    assert not overlap(clip("a", 0), clip("b", 0))
    assert overlap(clip("a1", 0), clip("a2", 3), lambda replay_id: replay_id[0])
    both = Clip((Segment("a", 90, 10), Segment("b", 0, 15)))
    assert overlap(both, clip("b", 14))
    assert not overlap(both, clip("b", 15))


@given(
    st.lists(st.builds(clip, st.sampled_from("abc"), st.integers(0, 60), st.integers(1, 30)), max_size=12),
    st.integers(0, 80),
    st.integers(0, 5),
)
def test_pairs_are_different_and_apart(clips: list[Clip], count: int, seed: int) -> None:
    pairs = pair_up(clips, rng(seed), count)
    possible = {frozenset((a, b)) for a in clips for b in clips if not overlap(a, b)}
    found = {frozenset((clips[i], clips[j])) for i, j in pairs}
    assert len(found) == len(pairs) == min(count, len(possible))
    assert found <= possible


def test_clips_that_look_alike_are_not_compared() -> None:
    clips = [clip("abcd"[i], 0) for i in range(4)]
    pairs = pair_up(clips, rng(), 10, keys=[b"x", b"x", b"y", b"y"])
    assert [{i // 2, j // 2} for i, j in pairs] == [{0, 1}]
    assert pair_up(clips, rng(), 10, keys=[b"x"] * 4) == []
    with pytest.raises(ValueError, match="3 keys for 4 clips"):
        pair_up(clips, rng(), 10, keys=[b"x"] * 3)


def test_all_pairs_and_both_orders_are_equally_likely() -> None:
    clips = [clip(name, 0) for name in "abcd"]
    seen = Counter(pair_up(clips, rng(seed), 1)[0] for seed in range(2400))
    assert len(seen) == 12
    assert all(140 <= times <= 260 for times in seen.values())


@pytest.mark.parametrize("strategy", ALL)
def test_the_control_arm_has_its_share(strategy: Strategy) -> None:
    clips = [clip(f"r{i}", 0) for i in range(200)]
    pairs = pair_up(clips, rng(), 300)
    first, second = rng(1).normal(size=(2, 3, 300))
    found = select(
        config(strategy, control_share=0.25),
        20,
        clips,
        pairs,
        rng(2),
        first_returns=first,
        second_returns=second,
        features=rng(3).normal(size=(300, 2)),
    )
    assert len(set(found.indices.tolist())) == 20
    assert found.control.sum() == (0 if strategy == "uniform" else 5)
    assert np.isnan(found.values[found.control]).all()
    posted = drafts(config(strategy), clips, pairs, found, iteration=3, session="s")
    assert [draft.control for draft in posted] == found.control.tolist()
    assert {draft.strategy for draft in posted} <= {strategy, "uniform"}
    assert all(draft.acquisition is None or draft.acquisition >= 0 for draft in posted)
    assert posted[0].clips == tuple(clips[k] for k in pairs[found.indices[0]])
    assert {(draft.iteration, draft.session) for draft in posted} == {(3, "s")}


def test_control_questions_are_drawn_uniformly() -> None:
    clips = [clip(f"r{i}", 0) for i in range(12)]
    pairs = [(2 * i, 2 * i + 1) for i in range(6)]
    first = np.array([[9.0, 0, 0, 0, 0, 0], [-9.0, 0, 0, 0, 0, 0]])
    half = config("disagreement", control_share=0.5)
    picks = [select(half, 2, clips, pairs, rng(seed), first_returns=first, second_returns=0 * first) for seed in range(500)]
    assert {int(found.indices[0]) for found in picks} == {0}
    assert all(60 <= times <= 140 for times in Counter(int(found.indices[1]) for found in picks).values())


def test_steps_are_asked_about_once_while_there_are_others() -> None:
    clips = [clip("a", 0), clip("a", 10), clip("b", 0), clip("c", 0), clip("d", 0)]
    pairs = [(0, 2), (1, 3), (3, 4)]
    first = np.array([[9.0, 8.0, 1.0], [-9.0, -8.0, -1.0]])
    plain = config("disagreement", control_share=0.0)
    found = select(plain, 2, clips, pairs, rng(), first_returns=first, second_returns=0 * first)
    assert found.indices.tolist() == [0, 2]
    found = select(plain, 3, clips, pairs, rng(), first_returns=first, second_returns=0 * first)
    assert found.indices.tolist() == [0, 2, 1]
    found = select(plain, 1, clips, pairs, rng(), first_returns=first, second_returns=0 * first, asked=[clip("a", 20)])
    assert found.indices.tolist() == [2]
    assert len(select(plain, 9, clips, [], rng(), first_returns=first[:, :0], second_returns=first[:, :0]).indices) == 0


def test_the_same_seed_chooses_the_same() -> None:
    clips = [clip(f"r{i}", 0) for i in range(40)]
    runs = []
    for _ in range(2):
        again = rng(5)
        pairs = pair_up(clips, again, 60)
        runs.append((pairs, select(config("uniform"), 10, clips, pairs, again).indices.tolist()))
    assert runs[0] == runs[1]


@given(st.sampled_from(get_args(Schedule)), st.integers(0, 2000), st.floats(0, 1), st.integers(1, 60))
def test_schedules_ask_exactly_the_budget(schedule: Schedule, total: int, initial: float, iterations: int) -> None:
    found = quota(schedule, total, initial, iterations)
    assert len(found) == iterations
    assert sum(found) == total
    assert min(found) >= 0
    if schedule == "at_once" or iterations == 1:
        assert found[0] == total
    else:
        assert found[0] == round(initial * total)
    if schedule == "constant":
        assert max(found[1:], default=0) - min(found[1:], default=0) <= 2


def test_schedules_by_hand() -> None:
    assert quota("constant", 100, 0.25, 4) == [25, 25, 25, 25]
    # T0 = 0.1 · 10 iterations: rates 1, 1/2, 1/3, ... 1/9 of 1000
    rates = 1 / np.arange(1, 10)
    assert quota("hyperbolic", 1000, 0.0, 10) == [0, *np.diff(np.round(1000 * np.cumsum(rates) / rates.sum()), prepend=0).tolist()]
    hyperbolic = quota("hyperbolic", 1000, 0.1, 20)
    assert hyperbolic[1:] == sorted(hyperbolic[1:], reverse=True)
    with pytest.raises(ValueError, match="initial"):
        quota("constant", 10, 1.5, 3)


def test_groups_of_clips_do_not_overlap_and_use_every_clip_before_any_comes_again() -> None:
    clips = [Clip((Segment("a", start, 10),)) for start in range(0, 400, 5)]
    groups = group_up(clips, np.random.default_rng(0), 15, 4)
    assert len(groups) == 15
    for group in groups:
        assert len(set(group)) == 4
        assert not any(overlap(clips[i], clips[j]) for i, j in combinations(group, 2))
    assert len({i for group in groups for i in group}) == 60
    assert group_up(clips, np.random.default_rng(0), 15, 4) == groups


def test_groups_show_different_things() -> None:
    clips = [Clip((Segment("a", start, 10),)) for start in range(0, 60, 10)]
    keys = ["x", "x", "x", "y", "z", "z"]
    for group in group_up(clips, np.random.default_rng(1), 20, 3, keys):
        assert {keys[i] for i in group} == {"x", "y", "z"}
    assert len(group_up(clips, np.random.default_rng(1), 9, 1, keys)) == 3, "one of each that looks the same"
    assert group_up(clips[:2], np.random.default_rng(1), 9, 3) == []
    with pytest.raises(ValueError, match="5 keys"):
        group_up(clips, np.random.default_rng(1), 9, 3, keys[:5])


def test_a_question_about_more_clips_is_worth_the_mean_of_its_pairs() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 3, 7, 6))  # 3 members, 7 candidates, 6 pairs each
    _, values = choose("disagreement", 7, first, second, None, np.random.default_rng(1))
    pairs = [choose("disagreement", 7, first[..., k], second[..., k], None, np.random.default_rng(1)) for k in range(6)]
    each = np.zeros((6, 7))
    for k, (order, score) in enumerate(pairs):
        each[k, order] = score
    np.testing.assert_allclose(values, np.sort(each.mean(0))[::-1])
