from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.feedback import answers
from rlhf_games.feedback.answers import (
    Advice,
    AnswerValue,
    Demonstration,
    Evaluation,
    Preference,
    Question,
    Ranking,
    Rating,
    Takeover,
    from_json,
    to_json,
)

seats = st.integers(0, 7)
numbers = st.floats(-10, 10)
actions = st.one_of(st.integers(0, 20), st.lists(st.one_of(numbers, st.integers(-5, 5)), min_size=1, max_size=4).map(tuple))


def dense(ranks: list[int]) -> tuple[int, ...]:
    order = sorted(set(ranks))
    return tuple(order.index(rank) for rank in ranks)


values: st.SearchStrategy[AnswerValue] = st.one_of(
    st.builds(Preference, st.sampled_from(["left", "right"]), st.integers(1, 2)),
    st.builds(Preference, st.sampled_from(["equal", "unsure"])),
    st.lists(st.integers(0, 5), min_size=2, max_size=6).map(lambda ranks: Ranking(dense(ranks))),
    st.just(Ranking(())),
    st.builds(Rating, st.one_of(st.none(), st.integers(1, 5))),
    st.builds(Evaluation, st.floats(-1, 1).filter(bool), seats, st.floats(0, 100)),
    st.builds(Evaluation, st.floats(-1, 1).filter(bool), seats, st.floats(0.1, 4), st.one_of(st.none(), st.floats(0, 60))),
    st.builds(Demonstration, st.integers(1, 1000), seats),
    st.builds(Takeover, st.integers(1, 1000), seats, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    st.builds(Advice, st.one_of(st.none(), actions), seats),
    st.builds(Question, st.sampled_from(["policy", "value", "reward"]), seat=seats),
    st.builds(Question, st.just("what-if"), actions, seats),
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@given(values)
def test_every_answer_survives_json(value: AnswerValue) -> None:
    assert from_json(value.kind, to_json(value)) == value


@given(values, st.data())
def test_an_answer_with_a_damaged_field_is_refused_by_name_or_is_another_valid_answer(value: AnswerValue, data: st.DataObject) -> None:
    table = json.loads(to_json(value))
    name = data.draw(st.sampled_from(sorted(table)))
    table[name] = data.draw(json_values)
    try:
        read = from_json(value.kind, json.dumps(table))
    except ValueError as error:
        # Fields that only make sense together may complain about the partner (strength of an undecided preference).
        assert type(value).__name__ in str(error)
    else:
        assert type(read) is type(value)


@given(st.sampled_from(sorted(answers.KINDS)), st.one_of(st.text(), json_values.map(json.dumps)))
def test_anything_else_than_an_answer_is_refused(kind: str, text: str) -> None:
    try:
        value = from_json(kind, text)
    except ValueError as error:
        assert answers.KINDS[kind].__name__ in str(error)
    else:
        assert from_json(kind, to_json(value)) == value


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Preference("up"), "Preference.choice"),  # type: ignore[arg-type]
        (lambda: Preference("left", 3), "Preference.strength"),
        (lambda: Preference("equal", 2), "Preference.strength"),
        (lambda: Preference("left", True), "Preference.strength"),
        (lambda: Ranking((0, 2)), "Ranking.ranks"),
        (lambda: Ranking((0,)), "Ranking.ranks"),
        (lambda: Ranking((-1, 0)), "Ranking.ranks"),
        (lambda: Rating(0), "Rating.stars"),
        (lambda: Rating(6), "Rating.stars"),
        (lambda: Evaluation(0.0), "Evaluation.value"),
        (lambda: Evaluation(1.5), "Evaluation.value"),
        (lambda: Evaluation(math.nan), "Evaluation.value"),
        (lambda: Evaluation(1.0, speed=-1.0), "Evaluation.speed"),
        (lambda: Evaluation(1.0, speed=math.inf), "Evaluation.speed"),
        (lambda: Evaluation(1.0, since_end=-0.5), "Evaluation.since_end"),
        (lambda: Evaluation(1.0, speed=0.0, since_end=1.0), "Evaluation.since_end"),
        (lambda: Demonstration(0), "Demonstration.length"),
        (lambda: Takeover(1, -1), "Takeover.seat"),
        (lambda: Advice((math.inf,)), "Advice.action"),
        (lambda: Advice(()), "Advice.action"),
        (lambda: Advice((10**400,)), "Advice.action"),
        (lambda: Advice((10**5_000, 1)), "Advice.action.*enormous"),
        (lambda: Advice(2**31), "Advice.action"),
        (lambda: Takeover(2**31), "Takeover.length"),
        (lambda: Question("mood"), "Question.aspect"),  # type: ignore[arg-type]
        (lambda: Question("what-if"), "Question.action"),
        (lambda: Question("policy", 1), "Question.action"),
    ],
)
def test_a_wrong_field_is_named(make: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        make()


def test_missing_and_unknown_fields_are_named() -> None:
    with pytest.raises(ValueError, match=r"Rating\.stars is missing"):
        from_json("rating", "{}")
    with pytest.raises(ValueError, match="no field 'colour'"):
        from_json("rating", '{"stars": 3, "colour": 1}')
    with pytest.raises(ValueError, match="unknown kind of answer 'mood'"):
        from_json("mood", "{}")


def test_marks_of_older_versions_are_live_marks_at_natural_speed() -> None:
    assert from_json("evaluation", '{"seat":0,"value":-0.5}') == Evaluation(-0.5, 0, speed=1.0, since_end=None)
