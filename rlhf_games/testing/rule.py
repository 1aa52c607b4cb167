"""A contract as a list of rules that can be checked one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S")


@dataclass(frozen=True)
class Rule(Generic[S]):
    """One sentence of a contract and how to check it."""

    name: str
    """Short and stable, for example ``determinism``."""
    sentence: str
    """What must hold, for people."""
    check: Callable[[S], None]
    """Raises ``AssertionError`` saying what broke, with numbers."""


@dataclass(frozen=True)
class Verdict:
    """How one rule went."""

    name: str
    sentence: str
    problem: str
    """Empty where the rule holds."""


def expect(holds: object, message: str) -> None:
    """One part of a rule. Unlike ``assert`` it also counts where Python is told to leave assertions out (``PYTHONOPTIMIZE``).

    Raises:
      AssertionError: ``holds`` is false.
    """
    if not holds:
        raise AssertionError(message)


def verdicts(rules: Sequence[Rule[S]], subject: S) -> Iterator[Verdict]:
    """Checks the rules in order. A rule whose check crashes counts as broken: the crash is the problem."""
    for rule in rules:
        problem = ""
        try:
            rule.check(subject)
        except AssertionError as error:
            problem = str(error) or "assertion failed without a message"
        except Exception as error:  # noqa: BLE001 - whatever the code under test raises is the verdict
            problem = f"{type(error).__name__}: {error}"
        yield Verdict(rule.name, rule.sentence, problem)


def demand(rules: Sequence[Rule[S]], subject: S, who: str) -> None:
    """Checks all rules and raises one ``AssertionError`` that names every broken one.

    A check that crashes keeps its traceback as the error's cause.
    """
    broken: list[str] = []
    cause: BaseException | None = None
    for rule in rules:
        try:
            rule.check(subject)
        except Exception as error:  # noqa: BLE001 - reported, and raised below as the cause
            cause = cause or error
            detail = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            broken.append(f"  {rule.name}: {rule.sentence}\n    {detail}")
    if broken:
        raise AssertionError(f"{who} breaks {len(broken)} of {len(rules)} rules:\n" + "\n".join(broken)) from cause
