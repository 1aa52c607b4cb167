"""``rlhf-games``: finds the verb, reads its flags, runs it.

A verb is a frozen dataclass whose docstring is its help, whose fields are its flags, and whose ``run(self) -> int`` gives the exit
status. Its module is imported only when the verb is asked for, and heavy things (JAX, pygame) only inside ``run``; the list of verbs
imports nothing at all.

Exit status: what ``run`` returns; 2 for anything a person can mend (``UserError``, wrong flags); 130 when interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from rlhf_games.core.errors import UserError, nearest


class Verb(NamedTuple):
    """Where a verb lives and what it does."""

    target: str
    """``module:Class`` under ``rlhf_games.cli``."""
    summary: str
    """One line for the list of verbs."""


VERBS: dict[str, Verb] = {
    "demo": Verb("demo:Demo", "watch an agent learn a game from a few hundred answers"),
    "games": Verb("games:Games", "list the games that there are"),
    "check game": Verb("check:CheckGame", "check a game against the contract, rule by rule"),
    "check agent": Verb("check:CheckAgent", "check an agent against the contract, rule by rule"),
    "run": Verb("run:Run", "run an experiment: play, ask, take answers, learn"),
    "study": Verb("study:RunStudy", "run games x arms x seeds and draw the table"),
    "settings": Verb("settings:Settings", "list every setting of an experiment: key, type, default, meaning"),
    "resume": Verb("run:Resume", "go on with a run that was stopped"),
    "teach": Verb("teach:Teach", "answer a store's questions as a scripted teacher"),
    "answers": Verb("answers:Answers", "show who answered in a run or store, or write all answers down"),
    "reproduce": Verb("reproduce:Reproduce", "run a finished experiment again and compare number by number"),
    "audit": Verb("audit:Audit", "leak audit: what does a game teach an agent that is never told its score?"),
    "arena": Verb("arena:Arena", "open the window in which people judge and play"),
    "judge": Verb("arena:Judge", "judge pairs of clips: which is better?"),
    "rank": Verb("arena:Rank", "rank several clips: which is best, which comes next?"),
    "rate": Verb("arena:Rate", "rate clips, one at a time, from 1 to 5"),
    "coach": Verb("arena:Coach", "cheer and scold an agent while it plays, and take over"),
    "watch": Verb("arena:Watch", "watch an agent's latest games with the learned reward under them"),
    "ask": Verb("arena:Ask", "question an agent: why this, what if, what does its reward model look at?"),
    "advise": Verb("arena:Advise", "be asked by an agent what you would do where it is unsure"),
    "play": Verb("arena:Play", "play a game and keep episodes as demonstrations"),
    "report": Verb("report:Report", "write a report of a run: one HTML file"),
    "bench learner": Verb("bench.learner:BenchLearner", "measure steps per second of learning beside rejax, and reward fits"),
    "bench atari": Verb("bench.atari:BenchAtari", "measure decisions per second on Atari beside stable-baselines3"),
    "bench arena": Verb("bench.arena:BenchArena", "measure how quickly the window answers judges and players"),
    "new": Verb("new:New", "make a folder for your own games, agents and experiments"),
}
"""All verbs, in the order of the list; a verb with a space ("check game") is a sub-verb."""


class Runnable(Protocol):
    """An instance of a verb's dataclass."""

    def run(self) -> int:
        """Does the work and returns the exit status."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv`` (default: the process's) and returns the exit status."""
    try:
        status = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader (head, less) has seen enough; the flush at exit must not complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _dispatch(argv: list[str]) -> int:
    workspace, rest = split_workspace(argv)
    if workspace is not None:
        from rlhf_games.workspace import set_workspace

        set_workspace(workspace)
    if not rest or rest[0] in ("-h", "--help", "help"):
        print(_overview(VERBS))
        return 0
    if rest[0] in ("-V", "--version"):
        import rlhf_games

        print(f"rlhf-games {rlhf_games.__version__}")
        return 0
    name, flags = find_verb(rest)
    if name not in VERBS:  # a group, such as "check"
        print(_overview({verb: entry for verb, entry in VERBS.items() if verb.startswith(name + " ")}))
        return 0
    return _parse(name, flags).run()


def split_workspace(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Takes ``--workspace DIR`` or ``--workspace=DIR`` out of ``argv``, wherever it stands before ``--``; the last one counts.

    Raises:
      UserError: the folder is missing.
    """
    found: str | None = None
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return found, [*rest, word, *words]
        if word == "--workspace":
            found = next(words, "")
        elif word.startswith("--workspace="):
            found = word.partition("=")[2]
        else:
            rest.append(word)
            continue
        if not found or found.startswith("-"):
            raise UserError("--workspace needs a folder: --workspace DIR")
    return found, rest


def find_verb(words: Sequence[str]) -> tuple[str, list[str]]:
    """Splits ``words`` into a verb (or the name of a group of sub-verbs, when its help was asked for) and its flags.

    Raises:
      UserError: there is no such verb; names the nearest.
    """
    pair = " ".join(words[:2])
    if pair in VERBS:
        return pair, list(words[2:])
    if words[0] in VERBS:
        return words[0], list(words[1:])
    group = [verb.partition(" ")[2] for verb in VERBS if verb.startswith(words[0] + " ")]
    if group and len(words) > 1 and words[1] in ("-h", "--help"):
        return words[0], []
    if group:
        given = f"there is no verb {pair!r}" if len(words) > 1 else f"{words[0]!r} needs to know what"
        raise UserError(f"{given}{nearest(words[1] if len(words) > 1 else '', group)} (rlhf-games {words[0]} --help)")
    raise UserError(f"there is no verb {words[0]!r}{nearest(words[0], {verb.partition(' ')[0] for verb in VERBS})} (rlhf-games --help)")


def _parse(name: str, flags: list[str]) -> Runnable:
    import tyro

    from rlhf_games.cli.flags import registry

    module, _, cls = VERBS[name].target.partition(":")
    verb: Any = getattr(importlib.import_module(f"rlhf_games.cli.{module}"), cls)
    parsed: Runnable = tyro.cli(verb, prog=f"rlhf-games {name}", args=flags, registry=registry())
    return parsed


def _overview(verbs: dict[str, Verb]) -> str:
    width = max(len(name) for name in verbs)
    listing = "\n".join(f"  {name:<{width}}  {verb.summary}" for name, verb in verbs.items())
    return (
        "usage: rlhf-games [--workspace DIR] VERB ...\n\n"
        f"{listing}\n\n"
        "rlhf-games VERB --help says what a verb takes. --workspace DIR adds a folder with games/, agents/, experiments/ of your own\n"
        "(found by themselves when you are inside it; RLHF_GAMES_WORKSPACE does the same)."
    )
