"""What measures never trains, and stays where it is as answers come in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.feedback.labels import PairLabel
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.reward.holdout import LARGEST, bootstrap_counts, held_out

SEGMENTS = st.builds(Segment, st.sampled_from(["a", "b", "c", "d", "e", "f"]), st.integers(0, 300), st.integers(1, 12))
CLIPS = st.builds(Clip, st.lists(SEGMENTS, min_size=1, max_size=2).map(tuple), st.integers(0, 1))
PAIRS = st.lists(st.tuples(CLIPS, CLIPS, st.integers(1, 2)), max_size=14)


def labels_of(pairs: list[tuple[Clip, Clip, int]]) -> list[PairLabel]:
    """One question for each pair, with one or two answers."""
    found = []
    for query, (first, second, answers) in enumerate(pairs, 1):
        found += [PairLabel(query, 10 * query + k, f"ann{k}", first, second, "first", 1, False) for k in range(answers)]
    return found


def steps_of(label: PairLabel) -> set[tuple[str, int]]:
    segments = (*label.first.segments, *label.second.segments)
    return {(segment.replay_id, step) for segment in segments for step in range(segment.start, segment.stop)}


@given(PAIRS, st.integers(0, 20))
def test_no_step_both_trains_and_measures(pairs: list[tuple[Clip, Clip, int]], seed: int) -> None:
    labels = labels_of(pairs)
    measures = held_out(labels, seed, 0.5)
    sides: list[set[tuple[str, int]]] = [set(), set()]
    for label, held in zip(labels, measures, strict=True):
        sides[int(held)] |= steps_of(label)
    assert not sides[0] & sides[1]
    order = np.random.default_rng(seed).permutation(len(labels))
    np.testing.assert_array_equal(held_out([labels[i] for i in order], seed, 0.5), measures[order])


@given(PAIRS, st.integers(0, 20), st.data())
def test_membership_changes_only_by_merging(pairs: list[tuple[Clip, Clip, int]], seed: int, data: st.DataObject) -> None:
    labels = labels_of(pairs)
    cut = data.draw(st.integers(0, len(labels)))
    before, after = held_out(labels[:cut], seed, 0.5), held_out(labels, seed, 0.5)
    grown = set[tuple[str, int]]().union(*(steps_of(label) for label in labels[cut:]))
    for i in range(cut):
        if before[i] != after[i]:  # then a new question reaches its group, directly or through others
            reached = set(grown)
            while more := [label for label in labels if steps_of(label) & reached and not steps_of(label) <= reached]:
                reached |= set[tuple[str, int]]().union(*(steps_of(label) for label in more))
            assert steps_of(labels[i]) & reached


def apart(count: int, control: bool = False) -> list[PairLabel]:
    """Questions that share nothing."""
    clips = [(Clip((Segment(f"r{i}", 0, 5),)), Clip((Segment(f"s{i}", 0, 5),))) for i in range(count)]
    return [PairLabel(i, i, "ann", *pair, "first", 1, control) for i, pair in enumerate(clips)]


def test_the_share_is_kept_and_none_or_almost_all_is_possible() -> None:
    labels = apart(4000)
    assert abs(held_out(labels, 0, 0.2).mean() - 0.2) < 0.03
    assert not held_out(labels, 0, 0.0).any()
    assert (held_out(labels, 0, 0.2) != held_out(labels, 1, 0.2)).any()
    assert held_out([], 0, 0.2).shape == (0,)


def test_the_control_arm_measures() -> None:
    assert held_out(apart(50, control=True), 0, 0.2).all()


def test_the_oldest_question_of_a_group_decides() -> None:
    old, young = apart(2)
    young = replace(young, first=old.first, control=True)
    assert not held_out([young, old], 0, 0.0).any()
    assert held_out([young, replace(old, control=True)], 0, 0.0).all()


def test_replays_of_one_episode_count_as_one() -> None:
    one, other = apart(2)
    control = replace(one, control=True)
    assert held_out([control, other], 0, 0.0).tolist() == [True, False]
    assert held_out([control, other], 0, 0.0, lambda replay_id: replay_id[0]).tolist() == [True, True]


def test_a_tangle_trains() -> None:
    tangle = [replace(label, first=Clip((Segment("a", i, 5),)), control=True) for i, label in enumerate(apart(LARGEST + 1))]
    assert not held_out(tangle, 0, 0.9).any()
    assert held_out(tangle[:LARGEST], 0, 0.9).all()


def test_resampling_is_poisson_and_does_not_move() -> None:
    counts = bootstrap_counts(3, 4, range(3000))
    assert counts.shape == (4, 3000)
    np.testing.assert_allclose(counts.mean(1), 1.0, atol=0.08)
    np.testing.assert_allclose(counts.var(1), 1.0, atol=0.12)
    assert np.corrcoef(counts)[0, 1] < 0.08
    np.testing.assert_array_equal(bootstrap_counts(3, 2, [7, 1]), counts[:2, [7, 1]])
