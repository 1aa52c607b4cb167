"""One replay that a person moves about in, and what a policy thinks of it. No pygame; nothing here waits.

The replay is played again piece by piece on one worker and thought about on another, nearest to the person first; both can be looked at
while they grow.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from rlhf_games.arena.errands import Errands, problem_words
from rlhf_games.arena.insight import CHUNK, Insight, Mind, Thought, Timeline, consider
from rlhf_games.arena.playhead import Playhead
from rlhf_games.arena.tape import Tape
from rlhf_games.arena.work import Worker
from rlhf_games.replay.replay import Replay

if TYPE_CHECKING:
    from rlhf_games.core.game import Game, GameSpec

Phase: TypeAlias = Literal["empty", "loading", "ready", "broken"]
LoadGame: TypeAlias = "Callable[[str, dict[str, Any]], Game]"
T = TypeVar("T")
_KEPT_BYTES = 192 << 20
"""Episodes that stay played, so that going back to one shows it at once: so much memory, and the one that is shown."""


@dataclass(eq=False)
class Scene:
    """An episode that was opened."""

    tape: Tape
    mind: Mind | None
    timeline: Timeline


class Reel:
    """Call ``tick`` often."""

    def __init__(self, load_game: LoadGame, fetch: Callable[[str], Replay], player: Worker, thinker: Worker) -> None:
        """``load_game``, ``fetch``: called on the ``player``; policies are asked on the ``thinker``."""
        self._load_game, self._fetch = load_game, fetch
        self._playing, self._thinking = Errands(player), Errands(thinker)
        self._scenes: OrderedDict[tuple[str, str], Scene] = OrderedDict()
        self._games: dict[str, Game] = {}
        self._wanted: tuple[str, Mind | None] | None = None
        self._demands: deque[tuple[str, Callable[[], Any], Callable[[Any], None], Callable[[BaseException], None]]] = deque()
        self.replay_id = ""
        """What is shown, or being opened."""
        self.scene: Scene | None = None
        self.problem = ""
        """Why the replay cannot be shown."""
        self.thinking_problem = ""
        """Why the policy cannot be asked."""
        self.near = 0
        """The decision that the person looks at."""

    # What there is

    @property
    def phase(self) -> Phase:
        """``ready`` from the moment on at which something may be looked at."""
        if self.problem:
            return "broken"
        if not self.replay_id:
            return "empty"
        return "ready" if self.scene is not None and self.scene.tape.checked else "loading"

    @property
    def tape(self) -> Tape:
        """The episode; only where one is opened."""
        assert self.scene is not None
        return self.scene.tape

    @property
    def spec(self) -> GameSpec | None:
        """The game's description, once it is loaded."""
        return None if self.scene is None else self.scene.tape.spec

    @property
    def mind(self) -> Mind | None:
        """Who is asked about this episode."""
        return None if self.scene is None else self.scene.mind

    @property
    def limit(self) -> int:
        """The last position that may be looked at; -1 where there is none."""
        return -1 if self.scene is None else self.scene.tape.checked - 1

    @property
    def words(self) -> str:
        """What is being loaded; empty where nothing is."""
        if self.scene is None:
            return self._playing.words
        if not self.scene.tape.done:
            return f"playing the episode again: {self.scene.tape.share:.0%}"
        return self._thinking.words if self._demands or self.scene.timeline.at(self.near, 0) is None else ""

    @property
    def per_decision(self) -> int:
        """Pictures that a decision brings."""
        return len(self.tape.pictures(min(1, self.limit)))

    def at(self, head: Playhead) -> tuple[int, int]:
        """Position and number of its picture that belong to the head's place; only where something may be looked at."""
        t = min(head.t, self.limit)
        count = len(self.tape.pictures(t))
        return t, min(count - 1, int(head.position % 1 * count))

    def thought(self, t: int, seat: int) -> Thought | None:
        """What the policy thinks at decision ``t``; None where that is not known (yet)."""
        return None if self.scene is None else self.scene.timeline.at(t, seat)

    # What is asked for

    def show(self, replay_id: str, mind: Mind | None) -> None:
        """Another replay, asked about by ``mind`` (None: nobody is asked)."""
        self.replay_id, self.problem, self.thinking_problem, self.near = replay_id, "", "", 0
        self._demands.clear()
        key = (replay_id, "" if mind is None else mind.about.policy)
        self.scene = self._scenes.get(key)
        self._wanted = None
        if self.scene is not None:
            self._scenes.move_to_end(key)
            return
        played = next((scene.tape for (other, _), scene in self._scenes.items() if other == replay_id), None)
        if played is not None:
            self._put(Scene(played, mind, Timeline(played.length)))
        else:
            self._wanted = (replay_id, mind)

    def demand(
        self, words: str, work: Callable[[], T], then: Callable[[T], None], failed: Callable[[BaseException], None] | None = None
    ) -> None:
        """Has the thinker do something before it goes on by itself; dropped where another replay is shown before it begins."""
        scene = self.scene

        def current(result: T) -> None:
            if self.scene is scene:
                then(result)

        self._demands.append((words, work, current, failed or self._cannot_think))

    # Time

    def tick(self) -> None:
        """Takes in what is done and hands out what is most urgent."""
        self._playing.tick()
        self._thinking.tick()
        if self._playing.free:
            self._play()
        if self._thinking.free:
            self._think()

    def close(self) -> None:
        """Ends. Safe to call once."""
        self._demands.clear()
        self._thinking.close()
        self._playing.close(self._put_away)

    def _put_away(self) -> None:
        for scene in self._scenes.values():
            scene.tape.close()

    def _play(self) -> None:
        if self._wanted is not None:
            (replay_id, mind), self._wanted = self._wanted, None
            broken = partial(self._broken, replay_id)
            self._playing.start("opening the replay", lambda: self._open(replay_id), lambda tape: self._opened(tape, mind), broken)
            return
        scene = self.scene
        if scene is None or scene.tape.done or self.problem:
            return
        replay_id = scene.tape.replay.id
        self._playing.start("playing", lambda: scene.tape.play(CHUNK), lambda _: None, partial(self._broken, replay_id))

    def _open(self, replay_id: str) -> Tape:
        """On the worker."""
        replay = self._fetch(replay_id)
        name = f"{replay.game} {sorted(replay.options.items())}"
        if name not in self._games:
            self._games[name] = self._load_game(replay.game, replay.options)
        return Tape(self._games[name], replay)

    def _opened(self, tape: Tape, mind: Mind | None) -> None:
        if self.replay_id == tape.replay.id and self.scene is None:
            self._put(Scene(tape, mind, Timeline(tape.length)))

    def _put(self, scene: Scene) -> None:
        self.scene = scene
        self._scenes[scene.tape.replay.id, "" if scene.mind is None else scene.mind.about.policy] = scene
        while len(self._scenes) > 1 and sum(entry.tape.nbytes for entry in self._scenes.values()) > _KEPT_BYTES:
            self._scenes.popitem(last=False)

    def _broken(self, replay_id: str, error: BaseException) -> None:
        self._scenes = OrderedDict((key, scene) for key, scene in self._scenes.items() if key[0] != replay_id)
        if replay_id == self.replay_id:
            self.scene, self.problem = None, problem_words(error)

    def _think(self) -> None:
        if self._demands:
            self._thinking.start(*self._demands.popleft())
            return
        scene = self.scene
        if scene is None or scene.mind is None or self.thinking_problem:
            return
        piece = scene.timeline.missing(self.near, self.limit)
        if piece is None:
            return
        mind, tape = scene.mind, scene.tape
        self._thinking.start("the agent is thinking", lambda: _consider(mind, tape, *piece), scene.timeline.put, self._cannot_think)

    def _cannot_think(self, error: BaseException) -> None:
        self.thinking_problem = problem_words(error)


def _consider(mind: Mind, tape: Tape, start: int, stop: int) -> Insight:
    return consider(mind, tape.look(start, stop))
