import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.checkpoints import Checkpoints


class State(NamedTuple):
    params: Any
    optimizer: Any
    key: jax.Array
    keys: jax.Array
    seen: np.ndarray
    half: jax.Array
    nothing: np.ndarray
    count: int
    rate: float


def make_state(seed: int) -> State:
    params = {"w": jax.random.normal(jax.random.key(seed), (3, 4)), "b": jnp.zeros(4)}
    return State(
        params=params,
        optimizer=optax.adam(1e-3).init(params),
        key=jax.random.key(seed),
        keys=jax.random.split(jax.random.key(seed), 5),
        seen=np.array([1, 2**63 + seed], np.uint64),
        half=jnp.full((), seed, jnp.bfloat16),
        nothing=np.zeros((0, 3), np.float32),
        count=seed,
        rate=seed / 7,
    )


def assert_same(one: Any, two: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert type(a) is type(b)
        if isinstance(a, jax.Array) and jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_states_come_back_bit_for_bit(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.latest() is None
        checkpoints.save(10, make_state(1), {"episodes": 3, "note": "é"})
        checkpoints.save(20, make_state(2))
        tree, extra = checkpoints.restore(10, make_state(0))
        assert_same(tree, make_state(1))
        assert extra == {"episodes": 3, "note": "é"}
        tree, extra = checkpoints.restore(20, make_state(0))
        assert_same(tree, make_state(2))
        assert extra == {}


def test_the_newest_are_kept_and_another_process_sees_them(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, keep=2) as writer, Checkpoints(tmp_path, read_only=True) as reader:
        for step in (0, 5, 7):
            writer.save(step, {"x": jnp.float32(step)})
            assert reader.latest() == step
        assert writer.steps() == reader.steps() == [5, 7]
        assert reader.restore(5, {"x": jnp.float32(0)})[0]["x"] == 5


def test_steps_only_grow(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, {"x": 1})
        for step in (5, 4):
            with pytest.raises(ValueError, match="not newer"):
                checkpoints.save(step, {"x": 2})
        assert checkpoints.restore(5, {"x": 0}) == ({"x": 1}, {})


def test_trees_without_leaves(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, (), {"a": [1]})
        assert checkpoints.restore(1, ()) == ((), {"a": [1]})


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"y": jnp.zeros(3)}, r"differs at \['x'\], \['y'\]"),
        ({"x": jnp.zeros(4)}, r"float32\[3\] where float32\[4\]"),
        ({"x": jnp.zeros(3, jnp.int32)}, r"float32\[3\] where int32\[3\]"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, like: Any, message: str) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jnp.zeros(3)})
        with pytest.raises(UserError, match=message):
            checkpoints.restore(1, like)
        with pytest.raises(UserError, match="no checkpoint 2; there are: 1"):
            checkpoints.restore(2, like)


def test_damage_is_said(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jnp.zeros(3)})
        (tmp_path / "1" / "about" / "metadata").write_text("{")
        with pytest.raises(UserError, match="damaged"):
            checkpoints.restore(1, {"x": jnp.zeros(3)})
    with pytest.raises(UserError, match="no checkpoints yet"):
        Checkpoints(tmp_path / "nowhere", read_only=True)


def test_a_folder_that_was_moved_away_is_said(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, {"x": jnp.zeros(3)})
        (tmp_path / "c").rename(tmp_path / "moved")
        with pytest.raises(UserError, match="has gone: it was moved or deleted"):
            checkpoints.save(2, {"x": jnp.zeros(3)})
    assert not (tmp_path / "c").exists()
    with Checkpoints(tmp_path / "moved") as checkpoints:
        assert checkpoints.restore(1, {"x": jnp.ones(3)})[0]["x"].tolist() == [0, 0, 0]


KILLED_WHILE_SAVING = """
import os, signal, sys
import numpy as np
import orbax.checkpoint as ocp
from rlhf_games.experiment.checkpoints import Checkpoints

point = sys.argv[2]
checkpoints = Checkpoints(sys.argv[1])
checkpoints.save(1, {"x": np.arange(1000.0)}, {"good": True})
real = os.rename
def die(*args, **kwargs):
    print("killed at", point, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
if point == "leaves":
    import json
    dumps = json.dumps
    json.dumps = lambda value, **kw: die() if "later" in str(value) else dumps(value, **kw)
else:
    import pathlib
    os.rename = os.replace = pathlib.Path.rename = pathlib.Path.replace = die
checkpoints.save(2, {"x": np.arange(1000.0) + 1}, {"good": "later"})
print("survived", flush=True)
"""


@pytest.mark.parametrize("point", ["leaves", "rename"])
def test_killed_while_saving_the_previous_one_stays(tmp_path: Path, point: str) -> None:
    process = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_SAVING, str(tmp_path), point], capture_output=True, text=True, env={**os.environ}, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert process.stdout.strip() == f"killed at {point}"
    assert len(list(tmp_path.iterdir())) == 2, "the kill came while the second was being written"
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [1]
        tree, extra = checkpoints.restore(1, {"x": np.zeros(1000)})
        np.testing.assert_array_equal(tree["x"], np.arange(1000.0))
        assert extra == {"good": True}
        checkpoints.save(2, tree)
        assert checkpoints.steps() == [1, 2]
    assert json.dumps(sorted(entry.name for entry in tmp_path.iterdir())) == '["1", "2"]'
