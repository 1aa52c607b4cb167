"""What a run publishes can be read back whole, or is refused with a word; a reader never crashes and never compiles twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf_games.core.errors import UserError
from rlhf_games.core.keys import step_key
from rlhf_games.published.container import About, Leaves, pack, unpack
from rlhf_games.published.folder import listed
from rlhf_games.published.publishing import publish
from rlhf_games.published.run import PublishedRun
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.networks import NetworkConfig
from rlhf_games.rollout.device import Transition
from rlhf_games.workspace import load_agent, load_game

ABOUT = About(
    run="tiny",
    iteration=3,
    steps=96,
    policy="tiny/3",
    trusted=False,
    published_at=5.0,
    game="board/tic_tac_toe",
    game_options={},
    agent="ppo",
    agent_config={"hidden": [8]},
    network={"hidden": [8], "action": True},
    members=2,
)


class Learned:
    """A fresh agent and ensemble."""

    def __init__(self) -> None:
        self.game = load_game("board/tic_tac_toe")
        self.agent = load_agent("ppo", {"hidden": [8]})
        self.ensemble = RewardEnsemble.build(self.game.spec, NetworkConfig(hidden=(8,), action=True), 2)

    def params(self, seed: int) -> tuple[Any, RewardParams]:
        key = jax.random.key(seed)
        return self.agent.params(self.agent.init(key, self.game.spec)), self.ensemble.initial(key)


@pytest.fixture(scope="module")
def learned() -> Learned:
    return Learned()


@pytest.fixture
def run(tmp_path: Path, learned: Learned) -> Path:
    publish(tmp_path, ABOUT, *learned.params(3))
    return tmp_path


def batch(learned: Learned, size: int) -> tuple[np.ndarray, np.ndarray]:
    spec = learned.game.spec
    seen = np.random.default_rng(size).integers(0, 2, (size, *spec.observation.shape)).astype(spec.observation.dtype)
    return seen, np.ones((size, spec.actions.n), bool)


def test_answers_are_those_of_the_learner(run: Path, learned: Learned) -> None:
    publication = PublishedRun.open(run).newest()
    assert publication.about == ABOUT
    agent, reward = learned.params(3)
    seen, legal = batch(learned, 5)
    expected = jax.jit(learned.agent.act)(agent, jnp.asarray(seen), step_key(1, 2), jnp.asarray(legal)).action
    np.testing.assert_array_equal(publication.policy(seen, step_key(1, 2), legal), expected)
    explained = publication.explain(seen, legal)
    told = jax.jit(learned.agent.explain)(agent, jnp.asarray(seen), jnp.asarray(legal))
    np.testing.assert_allclose(explained.probabilities, told.probabilities, rtol=1e-5)
    np.testing.assert_allclose(explained.value, told.value, rtol=1e-5)
    steps = Transition(seen, np.arange(5, dtype=np.int32), seen[::-1], np.zeros(5, np.float32))
    paid = publication.reward(steps)
    assert paid.shape == (2, 5)
    expected = jax.jit(learned.ensemble.mean)(reward, jax.tree.map(jnp.asarray, steps))
    np.testing.assert_allclose(paid.mean(0), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 256, 300])
def test_any_number_of_rows(run: Path, learned: Learned, size: int) -> None:
    publication = PublishedRun.open(run).newest()
    seen, legal = batch(learned, size)
    whole = publication.explain(seen, legal)
    assert whole.probabilities.shape == legal.shape
    np.testing.assert_allclose(whole.probabilities[-1:], publication.explain(seen[-1:], legal[-1:]).probabilities, rtol=1e-5)


def test_a_newer_one_is_given_once_and_not_compiled_again(run: Path, learned: Learned) -> None:
    published = PublishedRun.open(run)
    first = published.poll()
    assert first is not None
    assert published.poll() is None
    seen, legal = batch(learned, 2)
    first.policy(seen, step_key(0, 0), legal)
    publish(run, replace(ABOUT, iteration=4, policy="tiny/4"), *learned.params(4))
    second = published.poll()
    assert second is not None
    assert second.about.policy == "tiny/4"
    before = first._programs.built.act._cache_size()
    second.policy(seen, step_key(0, 0), legal)
    assert second._programs.built is first._programs.built
    assert first._programs.built.act._cache_size() == before == 1
    assert not np.allclose(first.explain(seen, legal).value, second.explain(seen, legal).value)


def test_the_newest_few_stay(run: Path, learned: Learned) -> None:
    for iteration in range(4, 9):
        publish(run, replace(ABOUT, iteration=iteration), *learned.params(iteration))
    assert [iteration for iteration, _ in listed(run / "published")] == [6, 7, 8]


def test_what_is_done_again_replaces_what_came_after(run: Path, learned: Learned) -> None:
    published = PublishedRun.open(run)
    publish(run, replace(ABOUT, iteration=4), *learned.params(4))
    assert published.newest().about.iteration == 4
    publish(run, ABOUT, *learned.params(3))
    again = published.poll()
    assert again is not None
    assert again.about.iteration == 3


@pytest.mark.parametrize("keep", [0, 7, 40, 100, -1])
def test_a_torn_file_is_passed_over(run: Path, learned: Learned, keep: int) -> None:
    whole = publish(run, replace(ABOUT, iteration=4), *learned.params(4)).read_bytes()
    (run / "published" / "00000004.policy").write_bytes(whole[:keep])
    published = PublishedRun.open(run)
    found = published.poll()
    assert found is not None
    assert found.about.iteration == 3
    assert "00000004.policy" in published.problem
    assert published.poll() is None
    assert "00000004.policy" in published.problem


def test_every_damaged_byte_is_noticed(run: Path) -> None:
    [(_, file)] = listed(run / "published")
    whole = file.read_bytes()
    chance = np.random.default_rng(0)
    for place in chance.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(chance.integers(8))
        with pytest.raises(UserError, match="some file"):
            unpack(bytes(damaged), "some file")


def sealed(header: bytes, data: bytes = b"") -> bytes:
    """A publication whose checksum fits, whatever stands in it."""
    body = len(header).to_bytes(8, "little") + header + data
    return b"RLHFPUB\x01" + blake2b(body, digest_size=32).digest() + body


def with_leaves(leaves: str) -> bytes:
    return b'{"about":' + json.dumps(asdict(ABOUT)).encode() + b',"leaves":{"agent":' + leaves.encode() + b"}}"


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"about":' + b'{"a":' * 70 + b"1" + b"}" * 70 + b',"leaves":{}}', "nested too deeply"),
        (with_leaves(f'[["x","float32",[{2**70}]]]'), "a shape that is none"),
        (with_leaves('[["x","float32",[1180591620717411303424,0]]]'), "a shape that is none"),
        (with_leaves('[["x","float32",[-1]]]'), "a shape that is none"),
        (with_leaves('[["x","float32",[true]]]'), "a shape that is none"),
        (with_leaves('[["x","object",[1]]]'), "leaves of type object"),
        (with_leaves('[["x","U0",[1]]]'), "leaves of type"),
        (with_leaves('[["x","finfo",[1]]]'), "damaged"),
        (with_leaves('[[3,"float32",[0]]]'), "without a path"),
        (with_leaves("[]").replace(b'"members": 2', b'"members": 4611686018427387904'), "members: must be in 1..1000"),
        (with_leaves("[]").replace(b'"published_at": 5.0', b'"published_at": NaN'), "NaN is no number"),
        (b" " * (1 << 22) + b"{}", "the limit is 4194304"),
    ],
)
def test_well_sealed_rubbish_is_refused(header: bytes, says: str) -> None:
    with pytest.raises(UserError, match=f"some file.*{says}"):
        unpack(sealed(header), "some file")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = st.sampled_from([("about", name) for name in asdict(ABOUT)] + [("leaves",), ("leaves", "agent"), ("leaves", "agent", 0)])


@settings(max_examples=200)
@given(place=PLACES, leaf=st.integers(0, 2), value=JSON)
def test_any_header_is_taken_or_refused(place: tuple[Any, ...], leaf: int, value: Any) -> None:
    header: Any = {"about": asdict(ABOUT), "leaves": {"agent": [["x", "float32", [2]]]}}
    inside = header
    for name in place[:-1]:
        inside = inside[name]
    if place[-1] == 0:
        inside[0][leaf] = value
    else:
        inside[place[-1]] = value
    try:
        about, _ = unpack(sealed(json.dumps(header).encode(), bytes(8)), "some file")
    except UserError as error:
        assert "some file" in str(error)
    else:
        assert about.programs


@pytest.mark.parametrize("change", [{"agent_config": {"hidden": [2**62]}}, {"network": {"hidden": [2**62], "action": True}}])
def test_sizes_that_no_array_has_are_refused(run: Path, learned: Learned, change: dict[str, Any]) -> None:
    publish(run, replace(ABOUT, iteration=5, **change), *learned.params(3))
    publication = PublishedRun.open(run).newest()
    with pytest.raises(UserError):
        assert publication.agent_params is publication.reward_params


def test_nothing_readable_is_said(run: Path) -> None:
    [(_, file)] = listed(run / "published")
    file.write_bytes(b"RLHFPUB")
    published = PublishedRun.open(run)
    assert published.poll() is None
    with pytest.raises(UserError, match="only its beginning"):
        published.newest()


def test_a_run_that_published_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rlhf-games resume"):
        PublishedRun.open(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        PublishedRun.open(tmp_path / "nowhere")


def test_parameters_of_another_network_are_refused(run: Path, learned: Learned) -> None:
    publish(run, replace(ABOUT, iteration=5, agent_config={"hidden": [9]}), *learned.params(3))
    publication = PublishedRun.open(run).newest()
    seen, legal = batch(learned, 1)
    with pytest.raises(UserError, match=r"another version|is needed"):
        publication.policy(seen, step_key(0, 0), legal)


def test_a_game_that_is_gone(run: Path, learned: Learned) -> None:
    publish(run, replace(ABOUT, iteration=5, game="board/gone"), *learned.params(3))
    with pytest.raises(UserError, match="board/gone"):
        _ = PublishedRun.open(run).newest().game


def test_odd_leaves_come_back() -> None:
    leaves = Leaves(["a", "b", "c"], [np.zeros((0, 3), np.float32), np.asarray(jnp.ones(2, jnp.bfloat16)), np.array(7, np.uint64)])
    about, trees = unpack(pack(ABOUT, {"agent": leaves, "reward": Leaves([], [])}), "here")
    assert about == ABOUT
    for before, after in zip(leaves.arrays, trees["agent"].arrays, strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
        assert before.tobytes() == after.tobytes()


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from rlhf_games.published.run import PublishedRun
from rlhf_games.published.publishing import publish
publication = PublishedRun.open(sys.argv[1]).newest()
about, agent, reward = publication.about, publication.agent_params, publication.reward_params
print("ready", flush=True)
for i in range(10_000):
    publish(Path(sys.argv[1]), replace(about, iteration=i), agent, reward)
"""


def test_a_writer_killed_at_any_moment_leaves_readers_in_peace(run: Path) -> None:
    published, seen = PublishedRun.open(run), 0
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(run)], stdout=subprocess.PIPE, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 60
        while seen < 50 and time.monotonic() < deadline:
            found = published.poll()
            assert not published.problem
            seen += found is not None
        writer.send_signal(signal.SIGKILL)
    finally:
        writer.kill()
        writer.communicate()
    assert seen == 50
    assert PublishedRun.open(run).newest().about.iteration > 0
