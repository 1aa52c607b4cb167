"""A replay: seed, actions, and what is needed to refuse it when it no longer reproduces."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import GameSpec
from rlhf_games.replay import container
from rlhf_games.replay.checksum import MARK_EVERY, Checksum

Ended: TypeAlias = Literal["terminated", "truncated", "unfinished"]
"""How the recording ended: by the rules, by a limit of the game, or cut because recording stopped."""

_ACTION_DTYPES = ("int32", "float32")


class ReplayMismatch(UserError):
    """A replay does not reproduce, or belongs to another game, version or options."""


@cache
def package_versions() -> dict[str, str]:
    """What could make a difference to a re-simulation beside the game's own version."""
    found = {"python": python_version()}
    for name in ("rlhf-games", "jax", "jaxlib", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a checkout that is not installed
            continue
    return found


@dataclass(frozen=True, eq=False)
class Replay:
    """One episode, or the beginning of one. Nothing that was seen is kept: it is simulated again."""

    game: str
    """``family/game``."""
    game_version: str
    options: dict[str, Any]
    """JSON values, as in the game's spec."""
    seed: int
    """uint32 that the episode started from."""
    actions: NDArray[Any]
    """``[T, P, ...]`` int32 or float32, T ≥ 1; read-only."""
    checksum: Checksum
    ended: Ended
    player: tuple[str, ...]
    """Who played each seat: ``"agent"`` or the annotator's name."""
    policy: str = ""
    """Which policy chose the last action; empty where none did."""
    lane: int = 0
    """Which of the recorder's games; replays of one lane follow each other in time."""
    recorded_at: float = 0.0
    """Seconds since 1970 (UTC) when recording ended."""
    versions: dict[str, str] = field(default_factory=dict)
    """Packages it was recorded with."""
    key_events: tuple[tuple[float, str, bool], ...] = ()
    """Human play: seconds since the episode's start, key or button, True for pressed (for reaction lag)."""

    def __post_init__(self) -> None:
        actions = np.array(self.actions, order="C")
        actions.flags.writeable = False
        object.__setattr__(self, "actions", actions)
        object.__setattr__(self, "options", json_values(self.options))
        object.__setattr__(self, "player", tuple(self.player))
        object.__setattr__(self, "key_events", tuple(tuple(event) for event in self.key_events))
        _validate(self)

    @property
    def length(self) -> int:
        """Steps ``T``."""
        return int(self.actions.shape[0])

    @property
    def players(self) -> int:
        """Seats ``P``."""
        return int(self.actions.shape[1])

    @cached_property
    def id(self) -> str:
        """32 hexadecimal digits: a hash of what was played, by whom. When and with which packages does not count."""
        identity = _header(self)
        for name in ("checksum", "recorded_at", "versions", "lane", "key_events"):
            del identity[name]
        identity["shape"], identity["dtype"] = list(self.actions.shape), str(self.actions.dtype)
        text = json.dumps(identity, sort_keys=True, allow_nan=False)
        little = self.actions.astype(self.actions.dtype.newbyteorder("<"), copy=False)
        return blake2b(text.encode() + b"\0" + little.tobytes(), digest_size=16).hexdigest()

    def begins(self, other: Replay) -> bool:
        """Whether ``other`` is the same episode as far as this goes, or further: an unfinished recording of it."""
        same = (self.game, self.game_version, self.options, self.seed, self.player)
        if same != (other.game, other.game_version, other.options, other.seed, other.player) or self.length > other.length:
            return False
        open_end = self.ended == "unfinished" or (self.length == other.length and self.ended == other.ended)
        return open_end and np.array_equal(self.actions, other.actions[: self.length])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Replay) and _header(self) == _header(other) and np.array_equal(self.actions, other.actions)

    def __hash__(self) -> int:
        return hash(self.id)

    def to_bytes(self) -> bytes:
        """A compact file: see `rlhf_games.replay.container`."""
        return container.pack(_header(self), self.actions)

    @classmethod
    def from_bytes(cls, data: bytes) -> Replay:
        """Reads what `to_bytes` wrote.

        Raises:
          UserError: the bytes are not a replay, are damaged, or were written by a newer version.
        """
        header, actions = container.unpack(data)
        try:
            checksum = header.pop("checksum")
            sums = Checksum(tuple(checksum["returns"]), checksum["length"], checksum["observation"], tuple(checksum["marks"]))
            return cls(actions=actions, checksum=sums, **header)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            problem = str(error)[:300]
            raise UserError(f"damaged replay: its header does not describe one ({problem}); restore the file or record it again") from error


def json_values(options: Any) -> dict[str, Any]:
    """The options as they come back from JSON (tuples become lists), so that they can be compared."""
    values = json.loads(json.dumps(options, allow_nan=False, sort_keys=True))
    if not isinstance(values, dict):
        raise ValueError(f"options must be an object, got {str(options)[:200]}")
    return values


def fits(replay: Replay, spec: GameSpec) -> bool:
    """Whether a replay was recorded in this game, version and options (see `check_spec`)."""
    try:
        check_spec(replay, spec)
    except ReplayMismatch:
        return False
    return True


def check_spec(replay: Replay, spec: GameSpec) -> None:
    """Refuses a replay that was recorded in another game, version or with other options, before anything is simulated.

    Raises:
      ReplayMismatch: naming each difference.
    """
    differences = [
        f"{name}: recorded {recorded!r}, here {here!r}"
        for name, recorded, here in (
            ("game", replay.game, spec.name),
            ("version", replay.game_version, spec.version),
            ("players", replay.players, spec.players),
            ("action shape", replay.actions.shape[2:], tuple(spec.actions.shape)),
            ("action dtype", str(replay.actions.dtype), spec.actions.dtype),
        )
        if recorded != here
    ]
    here = replay.options if replay.options == spec.options else json_values(spec.options)
    for name in sorted(set(here) | set(replay.options)):
        recorded, current = replay.options.get(name, "not set"), here.get(name, "not set")
        if recorded != current:
            differences.append(f"option {name}: recorded {recorded!r}, here {current!r}")
    if differences:
        cure = "make the game with the recorded name, version and options, or record again"
        raise ReplayMismatch(f"replay {replay.id} does not belong to this game: {'; '.join(differences)}; {cure}")


def _header(replay: Replay) -> dict[str, Any]:
    sums = replay.checksum
    return {
        "game": replay.game,
        "game_version": replay.game_version,
        "options": replay.options,
        "seed": replay.seed,
        "checksum": {
            "returns": list(sums.returns),
            "length": sums.length,
            "observation": sums.observation,
            "marks": list(sums.marks),
        },
        "ended": replay.ended,
        "player": list(replay.player),
        "policy": replay.policy,
        "lane": replay.lane,
        "recorded_at": replay.recorded_at,
        "versions": replay.versions,
        "key_events": [list(event) for event in replay.key_events],
    }


def _validate(replay: Replay) -> None:
    """Raises ``ValueError`` naming the field, what it must be and what it is."""
    actions, sums = replay.actions, replay.checksum
    seats = actions.shape[1] if actions.ndim >= 2 else 0
    rules: tuple[tuple[str, bool, object], ...] = (
        ("actions must be [T, P, ...] with T and P at least 1", actions.ndim >= 2 and min(actions.shape) >= 1, actions.shape),
        ("actions must be int32 or float32", str(actions.dtype) in _ACTION_DTYPES, actions.dtype),
        ("actions must be finite", bool(np.isfinite(actions).all()) if actions.dtype.kind in "if" else False, actions.dtype),
        ("game must be a name", isinstance(replay.game, str) and replay.game != "", replay.game),
        ("game_version must be text", isinstance(replay.game_version, str), replay.game_version),
        ("seed must be an integer in [0, 2**32)", _is_integer(replay.seed) and 0 <= replay.seed < 2**32, replay.seed),
        (f"ended must be one of {get_args(Ended)}", replay.ended in get_args(Ended), replay.ended),
        ("player must name each seat", _are_text(replay.player) and len(replay.player) == seats, replay.player),
        ("policy must be text", isinstance(replay.policy, str), replay.policy),
        ("lane must be an integer in [0, 2**31)", _is_integer(replay.lane) and 0 <= replay.lane < 2**31, replay.lane),
        ("recorded_at must be seconds", _is_number(replay.recorded_at), replay.recorded_at),
        ("versions must be an object of texts", _are_versions(replay.versions), replay.versions),
        ("key_events must be (seconds, key, pressed)", all(map(_is_key_event, replay.key_events)), replay.key_events),
        ("checksum.length must be the number of actions", sums.length == len(actions), sums.length),
        ("checksum.returns must have one number per seat", len(sums.returns) == seats and all(map(_is_number, sums.returns)), sums.returns),
        ("checksum.observation must be 32 hexadecimal digits", _is_hex(sums.observation, 32), sums.observation),
        (
            f"checksum.marks must have one entry per {MARK_EVERY} steps",
            len(sums.marks) == len(actions) // MARK_EVERY and all(_is_hex(mark, 16) for mark in sums.marks),
            sums.marks,
        ),
    )
    for rule, holds, value in rules:
        if not holds:
            raise ValueError(f"replay: {rule}, got {str(value)[:200]}")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(float(value)))


def _is_hex(value: object, digits: int) -> bool:
    return isinstance(value, str) and len(value) == digits and set(value) <= set("0123456789abcdef")


def _are_text(values: tuple[object, ...]) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_versions(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for pair in value.items() for text in pair)


def _is_key_event(event: tuple[object, ...]) -> bool:
    return len(event) == 3 and _is_number(event[0]) and isinstance(event[1], str) and isinstance(event[2], bool)
