"""What measures never trains, and a question stays where it was put, whatever is asked and answered later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.feedback.labels import UNSOLICITED, EvaluationLabel, PairLabel
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.reward.holdout import Holdout, Place, Side, bootstrap_counts, uniform

SEGMENTS = st.builds(Segment, st.sampled_from(["a", "b", "c", "d", "e", "f"]), st.integers(0, 300), st.integers(1, 12))
CLIPS = st.builds(Clip, st.lists(SEGMENTS, min_size=1, max_size=2).map(tuple), st.integers(0, 1))
PAIRS = st.lists(st.tuples(CLIPS, CLIPS, st.integers(1, 2)), max_size=14)


def labels_of(pairs: list[tuple[Clip, Clip, int]]) -> list[PairLabel]:
    """One question for each pair, with one or two answers."""
    found = []
    for query, (first, second, answers) in enumerate(pairs, 1):
        found += [PairLabel(query, 10 * query + k, f"ann{k}", first, second, "first", 1, False) for k in range(answers)]
    return found


def mark(clip: Clip, answer: int) -> EvaluationLabel:
    return EvaluationLabel(UNSOLICITED + answer, answer, "ann", (clip,), 1.0, (1.0,) * clip.length)


def steps_of(*clips: Clip) -> set[tuple[str, int]]:
    return {(segment.replay_id, step) for clip in clips for segment in clip.segments for step in range(segment.start, segment.stop)}


def sides(labels: list[PairLabel], seed: int, share: float = 0.5) -> list[Side]:
    return [place.side for place in Holdout(seed, share).places(labels)]


@given(PAIRS, st.lists(st.builds(Clip, SEGMENTS.map(lambda segment: (segment,))), max_size=5), st.integers(0, 20))
def test_no_step_both_trains_and_measures(pairs: list[tuple[Clip, Clip, int]], marked: list[Clip], seed: int) -> None:
    labels = [*labels_of(pairs), *(mark(clip, 1000 + i) for i, clip in enumerate(marked))]
    found: dict[Side, set[tuple[str, int]]] = {side: set() for side in Side}
    for label, place in zip(labels, Holdout(seed, 0.5).places(labels), strict=True):
        found[place.side] |= steps_of(*label.clips)
    assert not found[Side.TRAINS] & found[Side.MEASURES]
    order = np.random.default_rng(seed).permutation(len(labels))
    again = Holdout(seed, 0.5).places([labels[i] for i in order])
    assert again == [Holdout(seed, 0.5).places(labels)[i] for i in order]


@given(PAIRS, st.integers(0, 20), st.data())
def test_a_question_stays_where_it_was_put(pairs: list[tuple[Clip, Clip, int]], seed: int, data: st.DataObject) -> None:
    labels = labels_of(pairs)
    cut = data.draw(st.integers(0, len(labels)))
    holdout = Holdout(seed, 0.5)
    before = holdout.places(labels[:cut])
    answered_late = data.draw(st.permutations(labels[cut:]))
    assert holdout.places([*labels[:cut], *answered_late])[:cut] == before
    assert Holdout(seed, 0.5).places(labels)[:cut] == before


def apart(count: int, control: bool = False) -> list[PairLabel]:
    """Questions that share nothing."""
    clips = [(Clip((Segment(f"r{i}", 0, 5),)), Clip((Segment(f"s{i}", 0, 5),))) for i in range(count)]
    return [PairLabel(i, i, "ann", *pair, "first", 1, control) for i, pair in enumerate(clips)]


def test_the_share_is_kept_and_none_is_possible() -> None:
    labels = apart(4000)
    assert abs(np.mean([side == Side.MEASURES for side in sides(labels, 0, 0.2)]) - 0.2) < 0.03
    assert set(sides(labels, 0, 0.0)) == {Side.TRAINS}
    assert sides(labels, 0, 0.2) != sides(labels, 1, 0.2)
    assert Holdout(0, 0.2).places([]) == []


def test_the_control_arm_measures() -> None:
    assert set(sides(apart(50, control=True), 0, 0.2)) == {Side.MEASURES}


def test_a_question_about_older_steps_follows_them_also_where_they_are_not_answered_yet() -> None:
    old, young = apart(2)
    young = replace(young, first=old.first, control=True)
    assert sides([young, old], 0, 0.0) == [Side.TRAINS, Side.TRAINS], "the older one trains, so the younger one must"
    assert sides([young, replace(old, control=True)], 0, 0.0) == [Side.MEASURES, Side.MEASURES]
    holdout = Holdout(0, 0.0)
    holdout.post([Question(old), Question(young)])
    assert holdout.places([young])[0] == Place(Side.TRAINS, old.query_id)


class Question:
    def __init__(self, label: PairLabel) -> None:
        self.id, self.clips, self.control = label.query_id, label.clips, label.control


def test_what_shows_steps_of_both_sides_is_used_for_neither_and_stands_in_nobodys_way() -> None:
    trains, measures, both, later = apart(4)
    measures = replace(measures, control=True)
    both = replace(both, first=trains.first, second=Clip((*measures.first.segments, Segment("new", 0, 5))))
    later = replace(later, first=Clip((Segment("new", 3, 5),)))
    assert sides([trains, measures, both, later], 0, 0.0) == [Side.TRAINS, Side.MEASURES, Side.NEITHER, Side.TRAINS]


def test_units_that_share_steps_are_one_observation() -> None:
    first, second, third, other = apart(4)
    third = replace(third, first=first.first, second=second.second)
    holdout = Holdout(2, 0.0)
    places = holdout.places([first, second, third, other])
    assert [place.unit for place in places] == [0, 1, 0, 3], "each is resampled on its own, a follower with the oldest"
    assert len({holdout.observation(unit) for unit in (0, 1)}) == 1
    assert holdout.observation(3) != holdout.observation(0)


def test_the_same_episode_under_two_names_is_one() -> None:
    control, other = apart(2)
    control, other = replace(control, control=True), replace(other, first=Clip((Segment("r0 longer", 3, 5),)))
    assert sides([control, other], 0, 0.0) == [Side.MEASURES, Side.TRAINS]
    found = Holdout(0, 0.0, lambda replay_id: replay_id[:2]).places([control, other])
    assert [place.side for place in found] == [Side.MEASURES, Side.MEASURES]


def test_demonstrations_and_marks_take_nothing_from_the_holdout() -> None:
    # 175 questions in 16 long episodes; then seven demonstrations of 40 pieces, each compared with a clip beside the questions
    rng = np.random.default_rng(0)
    places = rng.permutation(16 * 40)[: 2 * 175].reshape(175, 2)
    clip = [Clip((Segment(f"lane{i // 40}", 50 * (i % 40), 25),)) for i in range(16 * 40)]
    beside = [Clip((Segment(f"lane{i // 40}", 50 * (i % 40) + 25, 25),)) for i in range(16 * 40)]
    questions = [PairLabel(q, q, "ann", clip[a], clip[b], "first", 1, q % 10 == 0) for q, (a, b) in enumerate(places.tolist(), 1)]
    holdout = Holdout(3, 0.2)
    before = holdout.places(questions)
    measured = sum(place.side == Side.MEASURES for place in before)
    assert 35 <= measured <= 65  # 17 of the control arm, and a fifth of the other 158
    for shown in range(1, 8):
        pieces = [
            PairLabel(UNSOLICITED + shown, shown, "ann", Clip((Segment(f"mine{shown}", 25 * part, 25),)), beside[rng.integers(640)],
                      "first", 1, False, "demonstration", part)
            for part in range(40)
        ]  # fmt: skip
        found = holdout.places([*questions, *pieces])
        assert found[:175] == before
        assert len(set(found[175:])) == 1, "one demonstration is one unit, on one side"


def test_all_marks_in_an_episode_belong_together() -> None:
    marks = [mark(Clip((Segment("e1", start, 20),)), start) for start in range(5)]
    places = Holdout(0, 0.5).places([*marks, mark(Clip((Segment("e2", 0, 20),)), 9)])
    assert len(set(places[:5])) == 1
    assert places[5].unit != places[0].unit


def test_bootstrap_counts_are_poisson_and_of_the_unit_alone() -> None:
    counts = bootstrap_counts(3, 4, range(3000))
    assert counts.shape == (4, 3000)
    np.testing.assert_allclose(np.bincount(counts.astype(int).ravel(), minlength=4)[:3] / 12_000, [0.368, 0.368, 0.184], atol=0.02)
    np.testing.assert_array_equal(bootstrap_counts(3, 2, [7, 1]), counts[:2, [7, 1]])
    assert 0.0 <= uniform("a", 1) < 1.0
