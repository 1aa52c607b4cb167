"""Clips: what is valid, JSON there and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.core.errors import UserError
from rlhf_games.replay.clip import Clip, Segment

segments = st.builds(Segment, st.text(min_size=1), st.integers(0, 10**6), st.integers(1, 10**4))
clips = st.builds(Clip, st.lists(segments, min_size=1, max_size=4).map(tuple), st.integers(0, 3))


@given(clips)
def test_json_there_and_back(clip: Clip) -> None:
    assert Clip.from_json(clip.to_json()) == clip
    assert clip.length == sum(segment.length for segment in clip.segments)


@given(clips, clips)
def test_equal_text_means_identical(one: Clip, other: Clip) -> None:
    assert (one == other) == (one.to_json() == other.to_json()) == (len({one, other}) == 1)


@given(st.text() | st.binary() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(repr))
def test_other_text_is_refused(text: Any) -> None:
    with pytest.raises(UserError, match="not a clip"):
        Clip.from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"segments":[],"seat":0}',
        '{"segments":[["a",0,0]],"seat":0}',
        '{"segments":[["a",-1,5]],"seat":0}',
        '{"segments":[["a",true,5]],"seat":0}',
        '{"segments":[["a",0.5,5]],"seat":0}',
        '{"segments":[["",0,5]],"seat":0}',
        '{"segments":[["a",0]],"seat":0}',
        '{"segments":[["a",0,5]],"seat":-1}',
        '{"segments":[["a",0,5]]}',
        '{"segments":[["a",0,5]],"seat":0,"more":1}',
        '{"segments":5,"seat":0}',
        '{"segments":[["a",0,2147483648]],"seat":0}',
        '{"segments":[["a",0,5]],"seat":Infinity}',
        '{"segments":[["a",0,5]],"seat":1e400}',
        "[" * 100_000,
    ],
)
def test_almost_a_clip_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="not a clip"):
        Clip.from_json(text)


def test_a_clip_needs_a_segment() -> None:
    with pytest.raises(ValueError, match="at least one Segment"):
        Clip(())
