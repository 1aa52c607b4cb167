"""Several scripted teachers on one store, for questions that want several answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rlhf_games.feedback.store import Store
from rlhf_games.feedback.teachers import RewardsOf, Teacher, TeacherConfig


class Panel:
    """Several teachers of the same kind, each of whom answers every question that wants so many answers."""

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self._teachers = teachers

    def answer_pending(self, limit: int = 64) -> int:
        """Lets each answer up to ``limit`` waiting queries; returns how many answers they gave."""
        return sum(teacher.answer_pending(limit) for teacher in self._teachers)


def panel(
    store: Store, config: TeacherConfig, rewards_of: RewardsOf, annotator: str, size: int, session: str | None = None
) -> Teacher | Panel:
    """A scripted teacher, or ``size`` of them who err each in their own way: ``annotator``, ``annotator-2``, ``annotator-3`` ..."""
    if size == 1:
        return Teacher(store, config, rewards_of, annotator, session=session)
    names = [annotator, *(f"{annotator}-{number}" for number in range(2, size + 1))]
    # Runs have seeds below 2**32: no teacher errs as the first one of another run does.
    configs = [replace(config, seed=config.seed + number * 2**32) for number in range(size)]
    return Panel([Teacher(store, own, rewards_of, name, session=session) for own, name in zip(configs, names, strict=True)])
