"""Settings: what is accepted, what is refused and how the refusal reads."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf_games.config import from_mapping, load_toml, parse_set, to_mapping
from rlhf_games.core.errors import UserError


@dataclass(frozen=True)
class Optimiser:
    """A branch of the tree."""

    learning_rate: float = 1e-3
    steps: int = 10

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")


@dataclass(frozen=True)
class Schedule:
    """An alternative to a plain number."""

    start: float
    end: float = 0.0


@dataclass(frozen=True)
class Tree:
    """One field of every kind."""

    name: str = "run"
    seed: int = 0
    rate: float = 0.5
    quick: bool = False
    kind: Literal["mlp", "cnn", 3] = "mlp"
    hidden: tuple[int, ...] = (64,)
    size: tuple[int, float] = (1, 2.0)
    sources: list[str] = field(default_factory=list)
    optimiser: Optimiser = field(default_factory=Optimiser)
    members: tuple[Optimiser, ...] = ()
    clip: float | None = 0.2
    note: str | None = None
    weight: float | Schedule = 1.0
    width: Literal["auto"] | int = "auto"
    options: dict[str, Any] = field(default_factory=dict)
    mixture: Mapping[str, float] = field(default_factory=dict)
    folder: Path = Path("runs")
    share: Annotated[float, "in [0, 1]"] = 0.1


def tree(text: str) -> Tree:
    return from_mapping(Tree, tomllib.loads(text), "x.toml")


def test_every_kind_of_field_is_read() -> None:
    got = tree("""
        name = "a"
        seed = 7
        rate = 1
        quick = true
        kind = 3
        hidden = [32, 16]
        size = [4, 5]
        sources = ["score"]
        optimiser = { learning_rate = 2 }
        members = [{ steps = 1 }, {}]
        clip = "none"
        note = "hello"
        weight = { start = 1 }
        width = 128
        options = { deep = { list = [1, "two"] } }
        mixture = { a = 1 }
        folder = "out"
        share = 1
        """)
    want = Tree("a", 7, 1.0, True, 3, (32, 16), (4, 5.0), ["score"], Optimiser(2.0), (Optimiser(steps=1), Optimiser()), None, "hello")
    assert got == Tree(
        **{name: getattr(want, name) for name in ("name", "seed", "rate", "quick", "kind", "hidden", "size", "sources")},
        optimiser=want.optimiser,
        members=want.members,
        clip=None,
        note="hello",
        weight=Schedule(1.0),
        width=128,
        options={"deep": {"list": [1, "two"]}},
        mixture={"a": 1.0},
        folder=Path("out"),
        share=1.0,
    )
    assert isinstance(got.rate, float)
    assert isinstance(got.size[1], float)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nmae = 'a'", ["x.toml", "nmae", "did you mean 'name'"]),
        ("seed = 1.5", ["seed", "an integer", "1.5"]),
        ("seed = true", ["seed", "an integer", "True"]),
        ("rate = true", ["rate", "a number", "True"]),
        ("rate = 'fast'", ["rate", "a number", "'fast'"]),
        ("quick = 1", ["quick", "true or false", "1"]),
        ("kind = 'cnm'", ["kind", "'mlp', 'cnn', 3", "did you mean 'cnn'"]),
        ("hidden = [1, 'two']", ["hidden[1]", "an integer", "'two'"]),
        ("hidden = 3", ["hidden", "a list", "3"]),
        ("size = [1]", ["size", "2 values", "1"]),
        ("optimiser = { steeps = 1 }", ["optimiser.steeps", "did you mean 'optimiser.steps'?"]),
        ("learning_rat = 1", ["learning_rat", "did you mean 'optimiser.learning_rate'?"]),
        ("start = 1", ["start", "did you mean 'weight.start'?"]),
        ("optimiser = { xyz = 1 }", ["optimiser.xyz", "known are: optimiser.learning_rate, optimiser.steps"]),
        ("optimiser = { rate = 1 }", ["optimiser.rate", "did you mean 'rate'?"]),
        ("optimiser = 3", ["optimiser", "Optimiser", "3"]),
        ("optimiser = { learning_rate = -1 }", ["optimiser", "positive", "-1"]),
        ("members = [{}, { steps = 'x' }]", ["members[1].steps", "an integer"]),
        ("clip = 'nothing'", ["clip", "a number", "none", "'nothing'"]),
        ("weight = { start = 'x' }", ["weight.start", "a number"]),
        ("weight = { end = 1 }", ["weight", "missing weight.start"]),
        ("width = 'atuo'", ["width", "'auto'", "an integer"]),
        ("mixture = { a = 'x' }", ["mixture.a", "a number"]),
        ("rate = " + "9" * 400, ["rate", "too large"]),
        ("rate = nan", ["rate", "must be finite", "nan"]),
        ("rate = 1e400", ["rate", "must be finite", "inf"]),
        ("clip = -inf", ["clip", "a number or", "-inf"]),
        ("mixture = { a = inf }", ["mixture.a", "must be finite"]),
        ("options = { deep = { list = [1, nan] } }", ["options.deep.list[1]", "must be finite"]),
        (f"seed = {2**63}", ["seed", "64 bits"]),
        (f"seed = {-(2**63) - 1}", ["seed", "64 bits"]),
        (f"hidden = [1, {2**63}]", ["hidden[1]", "64 bits"]),
        (f"options = {{ size = {2**63} }}", ["options.size", "64 bits"]),
    ],
)
def test_refusals_name_source_key_value_and_what_is_accepted(text: str, says: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        tree(text)
    for part in ["x.toml", *says]:
        assert part in str(caught.value)


def test_the_largest_integers_are_taken() -> None:
    assert tree(f"seed = {2**63 - 1}").seed == 9223372036854775807
    assert tree(f"seed = {-(2**63)}").seed == -9223372036854775808


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "notepad.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 7\n")
    assert load_toml(Tree, path).seed == 7


def test_missing_setting_is_named() -> None:
    with pytest.raises(UserError, match=r"there: missing start"):
        from_mapping(Schedule, {}, "there")


def test_overrides_win_and_are_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text("seed = 1\n[optimiser]\nsteps = 2\n")
    got = load_toml(
        Tree, path, ["optimiser.learning_rate=0.5", "seed=3", "seed=4", "name=ppo-1", "options.a.b=[1, 2]", "folder=some/where"]
    )
    assert (got.seed, got.name, got.options, got.folder) == (4, "ppo-1", {"a": {"b": [1, 2]}}, Path("some/where"))
    assert got.optimiser == Optimiser(0.5, 2)
    with pytest.raises(UserError, match=r"^--set optimiser.steps=many: optimiser.steps: expected an integer, got 'many'"):
        load_toml(Tree, path, ["optimiser.steps=many"])
    with pytest.raises(UserError, match=r"seed is not a table but 1"):
        load_toml(Tree, path, ["seed.deep=1"])


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("a=1", ("a",), 1),
        ("a.b-c.d = true", ("a", "b-c", "d"), True),
        ("a=ppo", ("a",), "ppo"),
        ("a='1'", ("a",), "1"),
        ("a=x=y", ("a",), "x=y"),
        ("a=", ("a",), ""),
        ("a=[1, 2.5]", ("a",), [1, 2.5]),
        ("a={ b = 1 }", ("a",), {"b": 1}),
        ("a=1\nb=2", ("a",), "1\nb=2"),
    ],
)
def test_parse_set(text: str, keys: tuple[str, ...], value: Any) -> None:
    assert parse_set(text) == (keys, value)


@pytest.mark.parametrize("text", ["", "a", "=1", "a..b=1", ".a=1", "a b=1", "a.'b'=1"])
def test_parse_set_refuses_what_is_no_key(text: str) -> None:
    with pytest.raises(UserError, match="KEY=VALUE"):
        parse_set(text)


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"a = 1\na = 2", b"x = " + b"[" * 10_000, b"seed = " + b"9" * 5_000])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.toml"):
        load_toml(Tree, path)


def test_absent_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path, Path("a\0b")):
        with pytest.raises(UserError):
            load_toml(Tree, path)


scalars = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["mlp", "auto", "none"]))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8
)
names = st.sampled_from([*Tree.__dataclass_fields__, "learning_rate", "steps", "start"])


@settings(max_examples=500)
@given(st.dictionaries(names | st.text(max_size=6), values | st.dictionaries(names, values, max_size=3), max_size=5))
def test_any_mapping_is_accepted_or_refused_as_user_error(mapping: dict[str, Any]) -> None:
    try:
        got = from_mapping(Tree, mapping, "any")
    except UserError as error:
        assert str(error).startswith("any: ")
    else:
        assert isinstance(got, Tree)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "base.toml"
    path.write_text("seed = 1\n[optimiser]\nsteps = 2\n")
    return path


@settings(max_examples=500)
@given(
    text=st.text(max_size=30)
    | st.builds(lambda key, rest, value: f"{key}{rest}={value}", names, st.sampled_from(["", ".a", ".steps"]), st.text())
)
def test_any_override_is_accepted_or_refused_as_user_error(base: Path, text: str) -> None:
    try:
        assert isinstance(load_toml(Tree, base, [text]), Tree)
    except UserError as error:
        assert str(error)


@settings(max_examples=300)
@given(content=st.binary(max_size=60) | st.text(alphabet="ab=[]{}.\"'#\n 1e-+:T", max_size=60).map(str.encode))
def test_any_file_is_accepted_or_refused_as_user_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    try:
        assert isinstance(load_toml(Tree, path), Tree)
    except UserError as error:
        assert "any.toml" in str(error)


finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**63), 2**63 - 1)
optimisers = st.builds(Optimiser, learning_rate=st.floats(min_value=1e-6, max_value=10), steps=whole)
trees = st.builds(
    Tree,
    name=st.text(),
    seed=whole,
    rate=finite,
    quick=st.booleans(),
    kind=st.sampled_from(["mlp", "cnn", 3]),
    hidden=st.lists(whole).map(tuple),
    optimiser=optimisers,
    members=st.lists(optimisers, max_size=2).map(tuple),
    clip=st.none() | finite,
    note=st.none() | st.text().filter(lambda text: text != "none"),
    weight=finite | st.builds(Schedule, finite, finite),
    width=st.just("auto") | whole,
    mixture=st.dictionaries(st.text(), finite),
)


@settings(max_examples=200)
@given(trees)
def test_to_mapping_and_back_is_the_same(config: Tree) -> None:
    assert from_mapping(Tree, to_mapping(config), "again") == config
