"""``rlhf-games``: finds the verb, reads its flags, runs it.

A verb is a frozen dataclass whose docstring is its help, whose fields are its flags, and whose ``run(self) -> int`` gives the exit
status. Its module is imported only when the verb is asked for, and heavy things (JAX, pygame) only inside ``run``; the list of verbs
imports nothing at all.

Exit status: what ``run`` returns; 2 for anything a person can mend (``UserError``, wrong flags); 130 when interrupted.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rlhf_games.cli.backend import demand_32_bits
from rlhf_games.core.errors import UserError, nearest
from rlhf_games.core.literal import literal
from rlhf_games.files import describe
from rlhf_games.interrupts import interrupted, remembered

_LONGEST = 2_000
"""Characters of one line of an error: it may quote a name of any length."""


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
    "bench store": Verb("bench.store:BenchStore", "measure how quickly a store of 1,000 to 100,000 answers leases and is read"),
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
    _prepare_process()
    try:
        with remembered():
            status = _dispatch(list(sys.argv[1:] if argv is None else argv))
            sys.stdout.flush()
    except UserError as error:
        print(f"error: {literal(str(error), _LONGEST)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:  # the reader (head, less) has seen enough; the flush at exit must not complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if interrupted():
            return _interrupted()
        problem = _outside_problem(error)
        if not problem:
            raise
        print(f"error: {literal(problem, _LONGEST)}", file=sys.stderr)
        return 2
    return status


def _outside_problem(error: Exception) -> str:
    """What is wrong with what the program was given or runs on, in words; empty for errors of its own."""
    if isinstance(error, OSError):
        return describe(error)
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # pathlib's words for ~ and Path.home()
        return "this user has no home folder: set HOME, and XDG_CONFIG_HOME to where settings may be kept"
    if isinstance(error, MemoryError) or str(error).startswith("RESOURCE_EXHAUSTED"):  # the latter is JAX's
        return "the memory is not enough for these settings: fewer games, steps, clips or members, or smaller networks need less"
    from rlhf_games.cli.backend import device_problem

    return device_problem()


def _prepare_process() -> None:
    """What holds for every verb and the processes that it starts."""
    # Children whose command line is not ours (multiprocessing's, for one) must not look for modules in the current folder either.
    os.environ["PYTHONSAFEPATH"] = "1"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal or the pipe has no letters for is shown as an escape
            stream.reconfigure(errors="backslashreplace")


def _interrupted() -> int:
    print("interrupted", file=sys.stderr)
    return 130


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
    _demand_current_folder()
    _announce_workspaces()
    demand_32_bits()
    return _parse(name, flags).run()


def _demand_current_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise UserError("the current folder is not there any more: go to another one (cd) and try again") from error


def _announce_workspaces() -> None:
    """Shows what the search for workspaces says, in this process only."""
    import logging

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print(literal(record.getMessage(), _LONGEST), file=sys.stderr)

    log = logging.getLogger("rlhf_games.workspace")
    log.handlers[:], log.propagate = [Printer()], False
    log.setLevel(logging.INFO)


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
