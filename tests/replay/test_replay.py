"""Replays: identity, bytes there and back, damage, and games they do not belong to."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.replay import container
from rlhf_games.replay.checksum import MARK_EVERY, Checksum, returns_of
from rlhf_games.replay.replay import Replay, ReplayMismatch, check_spec, package_versions

MakeReplay = Callable[..., Replay]
KEEP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

names = st.text(max_size=8)
hexadecimal = st.text("0123456789abcdef", min_size=32, max_size=32)


@st.composite
def replays(draw: st.DrawFn) -> Replay:
    length, seats = draw(st.integers(1, 3 * MARK_EVERY)), draw(st.integers(1, 3))
    shape = (length, seats, *draw(st.sampled_from([(), (2,), (2, 2)])))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    limit = draw(st.sampled_from([2, 255, 256, 30_000, 2**31 - 1]))
    whole = rng.integers(-limit if limit > 256 else 0, limit, shape).astype(np.int32)
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    return Replay(
        game=draw(names) + "/g",
        game_version=draw(names),
        options=draw(st.dictionaries(names, st.none() | st.booleans() | st.integers() | numbers | names | st.lists(names), max_size=3)),
        seed=draw(st.integers(0, 2**32 - 1)),
        actions=draw(st.sampled_from([whole, whole.astype(np.float32)])),
        checksum=Checksum(
            tuple(draw(st.lists(numbers, min_size=seats, max_size=seats))),
            length,
            draw(hexadecimal),
            tuple(draw(hexadecimal)[:16] for _ in range(length // MARK_EVERY)),
        ),
        ended=draw(st.sampled_from(["terminated", "truncated", "unfinished"])),
        player=tuple(draw(names) for _ in range(seats)),
        policy=draw(names),
        lane=draw(st.integers(0, 100)),
        recorded_at=draw(st.floats(0, 2e9)),
        versions=draw(st.dictionaries(names, names, max_size=2)),
        key_events=tuple(draw(st.lists(st.tuples(st.floats(0, 1e4), names, st.booleans()), max_size=3))),
    )


@settings(max_examples=50)
@given(replays())
def test_bytes_there_and_back(replay: Replay) -> None:
    again = Replay.from_bytes(replay.to_bytes())
    assert again == replay
    assert again.id == replay.id
    assert again.actions.dtype == replay.actions.dtype
    assert again.to_bytes() == replay.to_bytes()


def test_compact(make_replay: MakeReplay) -> None:
    assert len(make_replay(5_000).to_bytes()) < 2_500  # three actions: at least 0.2 bytes each


@given(data=st.binary(max_size=300), magic=st.sampled_from([b"", b"RLHFRPL", b"RLHFRPL\x01"]))
def test_random_bytes_are_refused(data: bytes, magic: bytes) -> None:
    with pytest.raises(UserError):
        Replay.from_bytes(magic + data)


@KEEP
@given(raw=st.binary(max_size=200), size=st.none() | st.integers(0, 2**64 - 1), squeeze=st.booleans())
def test_well_sealed_rubbish_is_refused(raw: bytes, size: int | None, squeeze: bool) -> None:
    """A digest that fits proves only that nothing was damaged."""
    body = struct.pack("<Q", len(raw) if size is None else size) + (zlib.compress(raw) if squeeze else raw)
    with pytest.raises(UserError):
        Replay.from_bytes(b"RLHFRPL\x01" + blake2b(body, digest_size=16).digest() + body)


@KEEP
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(make_replay: MakeReplay, at: int, bit: int) -> None:
    data = bytearray(make_replay(300).to_bytes())
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(UserError, match="replay"):
        Replay.from_bytes(bytes(data))


@KEEP
@given(at=st.integers(0, 10**6), tail=st.binary(max_size=3))
def test_cut_or_lengthened_bytes_are_noticed(make_replay: MakeReplay, at: int, tail: bytes) -> None:
    data = make_replay(300).to_bytes()
    with pytest.raises(UserError, match="replay"):
        Replay.from_bytes(data[: at % len(data)] + tail)
    with pytest.raises(UserError, match="replay"):
        Replay.from_bytes(data + b"\0" + tail)


def test_a_bomb_does_not_fill_the_memory() -> None:
    body = struct.pack("<Q", 1 << 29) + zlib.compress(bytes(1 << 20))
    with pytest.raises(UserError, match="claims"):
        Replay.from_bytes(b"RLHFRPL\x01" + blake2b(body, digest_size=16).digest() + body)


def _sealed(raw: bytes) -> bytes:
    body = struct.pack("<Q", len(raw)) + zlib.compress(raw, 1)
    return b"RLHFRPL\x01" + blake2b(body, digest_size=16).digest() + body


def _of(text: bytes, content: bytes) -> bytes:
    return _sealed(struct.pack("<I", len(text)) + text + content)


TABLE = b'"shape":[%d,1],"dtype":"%s","stored":"uint8"}'


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (lambda: _of(b'{"header":{"key_events":[' + b"[]," * 2_000_000 + b"[]]}," + TABLE % (1, b"int32"), b"\0"), "header of 60000"),
        (
            lambda: _of(b'{"header":{},' + TABLE % (20_000_000, b"int32"), bytes(20_000_000)),
            "array of 80000000 bytes",
        ),
        (lambda: _of(b'{"header":{},' + TABLE % (90_000_000, b"int32"), bytes(90_000_000)), "claims 900000"),
        (lambda: _of(b'{"header":' + b"[" * 100_000 + b"]" * 100_000 + b"," + TABLE % (1, b"int32"), b"\0"), "nested too deeply"),
        (lambda: _of(b'{"header":{"lane":Infinity},' + TABLE % (1, b"int32"), b"\0"), "Infinity is no number"),
        (lambda: _of(b'{"header":{"lane":1e400},' + TABLE % (1, b"int32"), b"\0"), "1e400 is too large"),
        (lambda: _of(b'{"header":{},' + TABLE % (2**70, b"int32"), b"\0"), "a shape that is none"),
        (lambda: _of(b'{"header":{},' + TABLE % (1, b"float64"), b"\0"), "'float64' are not known"),
        (lambda: _of(b'{"header":{},' + TABLE % (1, b"O"), b"\0"), "'O' are not known"),
    ],
)
def test_hostile_files_are_refused_before_they_are_believed(data: Callable[[], bytes], says: str) -> None:
    hostile = data()
    tracemalloc.start()
    with pytest.raises(UserError, match=says):
        Replay.from_bytes(hostile)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * (container.LARGEST_HEADER + container.LARGEST_ARRAY)


def test_the_largest_replay_can_be_read_and_a_larger_one_cannot_be_made() -> None:
    largest = np.zeros((container.LARGEST_ARRAY // 4, 1), np.int32)
    _, again = container.unpack(container.pack({}, largest))
    assert again.shape == largest.shape
    with pytest.raises(ValueError, match="larger than the format's"):
        container.pack({}, np.zeros((container.LARGEST_ARRAY // 4 + 1, 1), np.int32))
    with pytest.raises(ValueError, match="larger than the format's"):
        container.pack({"policy": "x" * container.LARGEST_HEADER}, np.zeros((1, 1), np.int32))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@KEEP
@given(data=st.data())
def test_any_header_is_taken_or_refused(make_replay: MakeReplay, data: st.DataObject) -> None:
    """A replay whose header holds anything in place of one of its entries."""
    header, actions = container.unpack(make_replay(5).to_bytes())
    name = data.draw(st.sampled_from(sorted(header)))
    text = json.dumps({"header": {**header, name: data.draw(JSON)}, "shape": list(actions.shape), "dtype": "int32", "stored": "int32"})
    hostile = _of(text.encode(), actions.astype("<i4").tobytes())
    try:
        Replay.from_bytes(hostile).to_bytes()
    except UserError as error:
        assert str(error).startswith("damaged replay")


def test_id_is_of_what_was_played(make_replay: MakeReplay) -> None:
    replay = make_replay(10)
    assert replace(replay, recorded_at=5.0, versions={"jax": "9"}, lane=3).id == replay.id
    others = [
        replace(replay, seed=1),
        replace(replay, actions=np.roll(replay.actions, 1, 0)),
        replace(replay, options={"a": 2}),
        replace(replay, ended="truncated"),
        replace(replay, player=("somebody",)),
        replace(replay, policy="p2"),
        replace(replay, actions=replay.actions.astype(np.float32)),
        replace(replay, actions=replay.actions[..., None]),
    ]
    assert len({other.id for other in [replay, *others]}) == len(others) + 1


def test_actions_cannot_be_changed(make_replay: MakeReplay) -> None:
    actions = np.zeros((4, 1), np.int32)
    replay = make_replay(4, actions=actions)
    actions[:] = 1
    assert not replay.actions.any()
    with pytest.raises(ValueError, match="read-only"):
        replay.actions[0] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"actions": np.zeros((0, 1), np.int32)}, "T and P at least 1"),
        ({"actions": np.zeros(5, np.int32)}, "T and P at least 1"),
        ({"actions": np.zeros((10, 1), np.int64)}, "int32 or float32"),
        ({"actions": np.full((10, 1), np.nan, np.float32)}, "finite"),
        ({"ended": "won"}, "ended"),
        ({"player": ()}, "player"),
        ({"player": ("a", "b")}, "player"),
        ({"key_events": ((0.1, "left"),)}, "key_events"),
        ({"options": {"x": object()}}, "not JSON serializable"),
        ({"actions": np.zeros((9, 1), np.int32)}, "checksum.length"),
    ],
)
def test_what_cannot_be_is_refused(make_replay: MakeReplay, change: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        replace(make_replay(10), **change)


def test_every_difference_to_the_game_is_named(make_replay: MakeReplay) -> None:
    spec = GameSpec(
        name="probe/none",
        version="1",
        players=1,
        observation=Observation((4,), "uint8", "vector"),
        actions=Discrete(("a", "b", "c")),
        decisions_per_second=5,
        turn_based=False,
        aim="",
        options={"a": 1},
    )
    check_spec(make_replay(5), spec)
    check_spec(make_replay(5, options={"a": 1, "t": (1, 2)}), replace(spec, options={"a": 1, "t": [1, 2]}))
    for change, message in [
        ({"name": "probe/other"}, "game: recorded 'probe/none', here 'probe/other'"),
        ({"version": "2"}, "version: recorded '1', here '2'"),
        ({"players": 2}, "players: recorded 1, here 2"),
        ({"options": {"a": 1, "b": True}}, "option b: recorded 'not set', here True"),
        ({"options": {"a": 3}}, "option a: recorded 1, here 3"),
    ]:
        with pytest.raises(ReplayMismatch, match=message):
            check_spec(make_replay(5), replace(spec, **change))


def test_return_does_not_depend_on_the_order_of_adding() -> None:
    reward = np.array([1e8, 1.0, -1e8, 0.1], np.float32)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]):
        assert returns_of(reward[order][:, None]) == (1.0 + float(np.float32(0.1)),)


def test_versions_are_recorded() -> None:
    assert {"python", "jax", "numpy"} <= set(package_versions())
