"""Mode ``async`` with an answering process beside the learner (here: a thread): neither waits for the other."""

from __future__ import annotations

import threading
from pathlib import Path

from rlhf_games.experiment.build import Bench
from rlhf_games.feedback.store import Store
from rlhf_games.feedback.teachers import PRESETS, Teacher, clip_rewards

from .tiny import tiny


def test_answers_that_come_while_the_agent_learns_are_used(bench: Bench, tmp_path: Path) -> None:
    experiment = tiny(feedback__mode="async", feedback__teacher="human", iterations=8, steps=1024, feedback__budget=48)
    loop = bench.loop(experiment, tmp_path / "store.sqlite")
    other = bench.loop(experiment, tmp_path / "store.sqlite")  # a reader of its own for the thread
    stop = threading.Event()
    given: list[int] = []

    def answer() -> None:
        with Store.open(tmp_path / "store.sqlite") as store:
            teacher = Teacher(store, PRESETS["oracle"], lambda clips: list(clip_rewards(other.asker.reader.read(clips, 5))), "beside")
            while not stop.is_set():
                given.append(teacher.answer_pending(4))
                stop.wait(0.005)
            while teacher.answer_pending(4):
                given.append(4)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        answers: list[float] = []
        with loop.store:
            assert loop.run(lambda progress: answers.append(progress.metrics["answers"]))
    finally:
        stop.set()
        thread.join()
    assert answers == sorted(answers), "an answer that was taken stays taken"
    assert sum(loop.quotas) == experiment.feedback.budget
    with Store.open(tmp_path / "store.sqlite") as store:
        queries = store.queries(store.query_ids())
        assert [sum(query.iteration == i for query in queries) for i in range(8)] == loop.quotas, "questions never wait for answers"
        page = store.answers()
        assert sorted(answer.query_id or 0 for answer in page.answers) == store.query_ids()
        loop.labels.poll()
        assert loop.labels.answered == len(page.answers) >= answers[-1]
    other.store.close()
