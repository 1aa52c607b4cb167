"""A lab with tiny games, and their programs compiled once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_games import workspace
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.experiment.runner import Interruption, execute
from rlhf_games.experiment.spec import Experiment

from .tiny import make_lab, tiny


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lab(tmp_path_factory.mktemp("lab") / "tiny")


@pytest.fixture
def in_lab(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The lab's games are found."""
    monkeypatch.setenv(workspace.VARIABLE, str(lab))
    workspace.refresh()
    yield lab
    monkeypatch.undo()
    workspace.refresh()


@pytest.fixture(scope="session")
def bench(lab: Path) -> Bench:
    """Episode ends visible."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(workspace.VARIABLE, str(lab))
        workspace.refresh()
        made = Bench(tiny())
    workspace.refresh()
    return made


@pytest.fixture
def make_loop(bench: Bench, tmp_path: Path) -> Iterator[Callable[..., FeedbackLoop]]:
    """Makes loops, each on a store of its own: ``make_loop(experiment, "store name")``; ``resumed`` goes on with one."""
    made: list[FeedbackLoop] = []

    def make(experiment: Experiment, store: str = "store", resumed: bool = False) -> FeedbackLoop:
        made.append(bench.loop(experiment, tmp_path / f"{store}.sqlite", resumed=resumed))
        return made[-1]

    yield make
    for loop in made:
        loop.store.close()


@pytest.fixture
def until(bench: Bench) -> Callable[..., Any]:
    """Executes a run, stopping it after an iteration."""

    def go(run: RunDirectory, stop: int = 1_000, **options: Any) -> Any:
        interruption = Interruption(lambda text: None)
        return execute(run, lambda progress: setattr(interruption, "asked", progress.iteration >= stop), interruption, bench, **options)

    return go
