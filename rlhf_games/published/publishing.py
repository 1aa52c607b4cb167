"""The learner's side: writes what it has now, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from rlhf_games.core.agent import PyTree
from rlhf_games.files import write_atomically
from rlhf_games.published.container import About, Leaves, pack
from rlhf_games.published.folder import FOLDER, file_of, listed
from rlhf_games.published.leaves import flatten, stored
from rlhf_games.reward.ensemble import RewardParams

_KEPT = 3
"""A reader that has just listed the folder still finds its file."""


def publish(run: Path, about: About, agent: PyTree, reward: RewardParams) -> Path:
    """Publishes a policy and a reward model; readers see them whole, from now on.

    Args:
      run: the run's folder.
      about: describes both. What an interrupted run published of later iterations than this one is removed: it is being redone.
      agent: ``Agent.params``.
      reward: the ensemble's parameters.

    Returns:
      The file.
    """
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    trees = {}
    for name, tree in (("agent", agent), ("reward", reward)):
        paths, leaves = flatten(tree)
        trees[name] = Leaves(paths, [stored(leaf) for leaf in leaves])
    file = file_of(folder, about.iteration)
    write_atomically(file, pack(about, trees))
    entries = listed(folder)
    redone = [path for iteration, path in entries if iteration > about.iteration]
    old = [path for iteration, path in entries if iteration <= about.iteration][:-_KEPT]
    for path in redone + old:
        path.unlink(missing_ok=True)
    return file
