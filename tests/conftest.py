"""What all tests share: JAX on the CPU and strict, no display, and an empty lab to try things in."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Before anything imports JAX or pygame.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Compiled programs are kept between runs (and shared by parallel workers and all that tests start): a second run is several times faster.
# Also small ones: many tests compile the same, and a process that starts anew compiles hundreds of them.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# What tests run is tiny, what they compile is not: together these take half of the work away. Programs that tests start inherit them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Where two differ, the last one counts: what was given.
os.environ["XLA_FLAGS"] = " ".join(
    ("--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1", os.environ.get("XLA_FLAGS", ""))
)

import jax
import pytest
from hypothesis import settings

from rlhf_games import workspace

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# The machine is shared: a slow example says nothing about the code.
settings.register_profile("rlhf-games", deadline=None)
settings.load_profile("rlhf-games")


def pytest_collection_finish() -> None:
    """Imports and collected tests stay to the end: to look through them for garbage again and again is an eighth of the work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


FAMILY = '''
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    """Options of the family."""
    size: int = 3
    """Cells."""

@dataclass(frozen=True)
class Thing:
    """Stands for a game: what is tested with it never plays."""
    name: str
    options: Options
    origin: str = __file__

def make(name, options):
    return Thing(name, options)
'''
CARDS = """
kind = "device"
[[game]]
name = "one"
title = "One"
players = 1
aim = "Be found."
"""


@pytest.fixture
def fresh_workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No workspace but the checkout; what a test changes about it is undone."""
    monkeypatch.delenv(workspace.VARIABLE, raising=False)
    workspace.refresh()
    yield
    monkeypatch.undo()
    workspace.refresh()


@pytest.fixture
def make_lab(tmp_path: Path, fresh_workspace: None) -> Callable[..., Path]:
    """Makes a workspace with the given families of one game each: ``make_lab("lab", "mine")``."""

    def make(name: str, *families: str) -> Path:
        for family in families:
            folder = tmp_path / name / "games" / family
            folder.mkdir(parents=True)
            (folder / "game.py").write_text(FAMILY)
            (folder / "cards.toml").write_text(CARDS)
        (tmp_path / name / "rlhf-games.toml").touch()
        return tmp_path / name

    return make
