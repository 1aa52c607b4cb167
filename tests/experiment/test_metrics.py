import json
import math
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from rlhf_games.cli.main import main
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.metrics import MetricsWriter, read_metrics, series
from rlhf_games.experiment.run_report import write_run_report
from rlhf_games.experiment.rundir import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", {"a": 1}, {})


def test_lines_are_there_at_once_and_read_back(run: RunDirectory) -> None:
    with MetricsWriter(run) as writer:
        writer.write(0, {"true_return": 1.5, "answers": 3, "reward_model/accuracy": np.float32(0.5)})
        assert read_metrics(run.metrics_path)[0]["true_return"] == 1.5
        writer.write(8, {"true_return": jnp.float32(2.5), "loss": math.nan, "top": math.inf, "half": ml_dtypes.bfloat16(0.5), "on": True})
    first, second = read_metrics(run.metrics_path)
    assert (first["step"], first["answers"], first["reward_model/accuracy"]) == (0, 3, 0.5)
    assert {name: second[name] for name in ("loss", "top", "half", "on")} == {"loss": None, "top": None, "half": 0.5, "on": 1}
    assert first["time"] <= second["time"]
    steps, values = series([first, second], "true_return")
    np.testing.assert_array_equal(steps, [0, 8])
    np.testing.assert_array_equal(values, [1.5, 2.5])
    np.testing.assert_array_equal(series([first, second], "loss")[1], [math.nan])


@pytest.mark.parametrize("values", [{"step": 1.0}, {"time": 1.0}, {"a": [1.0, 2.0]}, {"a": "high"}, {"a": None}])
def test_what_is_no_metric_is_refused(run: RunDirectory, values: dict[str, Any]) -> None:
    with MetricsWriter(run) as writer:
        with pytest.raises(ValueError, match="metric"):
            writer.write(0, values)
        writer.write(0, {"a": 1})
    assert len(read_metrics(run.metrics_path)) == 1


def test_tensorboard_reads_the_events(run: RunDirectory) -> None:
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    with MetricsWriter(run) as writer:
        writer.write(4, {"a": 0.5, "b": math.nan})
    (file,) = run.tensorboard_path.iterdir()
    events = [event for event in LegacyEventFileLoader(str(file)).Load() if event.HasField("summary")]
    assert [(event.step, [(value.tag, value.simple_value) for value in event.summary.value]) for event in events] == [(4, [("a", 0.5)])]


def test_neither_torch_nor_tensorflow_is_loaded(run: RunDirectory) -> None:
    code = (
        "import sys\nfrom rlhf_games.experiment.metrics import MetricsWriter\nfrom rlhf_games.experiment.rundir import RunDirectory\n"
        "assert 'tensorboard' not in sys.modules and 'jax' not in sys.modules\n"
        "MetricsWriter(RunDirectory.open(sys.argv[1])).close()\nprint([m for m in ('torch', 'tensorflow', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_resumed_run_has_no_step_twice(run: RunDirectory) -> None:
    with MetricsWriter(run) as writer:
        for step in (0, 10, 20, 30):
            writer.write(step, {"a": step})
    whole = run.metrics_path.read_bytes()
    run.metrics_path.write_bytes(whole + b'{"step": 40, "a')
    assert [line["step"] for line in read_metrics(run.metrics_path)] == [0, 10, 20, 30]
    with MetricsWriter(run, resume_step=10) as writer:
        writer.write(20, {"a": -1})
    assert [(line["step"], line["a"]) for line in read_metrics(run.metrics_path)] == [(0, 0), (10, 10), (20, -1)]
    with MetricsWriter(run, resume_step=-1):
        assert read_metrics(run.metrics_path) == []


def test_tensorboard_shows_a_resumed_run_once(run: RunDirectory) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with MetricsWriter(run) as writer:
        for step in (0, 10, 20):
            writer.write(step, {"a": 0.0})
    (file,) = run.tensorboard_path.iterdir()
    file.rename(file.with_name("events.out.tfevents.0000000001.earlier"))  # files of the same second have no order
    with MetricsWriter(run, resume_step=10) as writer:
        writer.write(20, {"a": 1.0})
    points = EventAccumulator(str(run.tensorboard_path)).Reload().Scalars("a")
    assert [(point.step, point.value) for point in points] == [(0, 0.0), (10, 0.0), (20, 1.0)]


def test_nothing_is_appended_by_mistake(run: RunDirectory) -> None:
    with MetricsWriter(run) as writer:
        writer.write(0, {"a": 1})
    with pytest.raises(UserError, match="has metrics already"):
        MetricsWriter(run)


NO_LINES = [
    *("{", "[]", '{"a": 1}', '{"step": "x"}', "3", '"step"', '{"step": Infinity}', '{"step": 1e400}', "[" * 9_999, "\\xff"),
    *('{"step": true}', '{"step": null}', '{"step": 1.0}', '{"step": 1000000000000000000000000000000}', '{"step": 9223372036854775808}'),
    *('{"step": 1, "x": "a"}', '{"step": 1, "x": [1]}', '{"step": 1, "x": {}}', '{"step": 1, "time": "now"}'),
    '{"step": 1, "x": 1' + "0" * 400 + "}",
]


@pytest.mark.parametrize("line", NO_LINES, ids=lambda line: line[:30])
def test_damage_before_the_end_is_said(run: RunDirectory, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    run.metrics_path.write_text(json.dumps({"step": 1}) + "\n" + line + "\n" + json.dumps({"step": 2}) + "\n")
    with pytest.raises(UserError, match="line 2"):
        read_metrics(run.metrics_path)
    with pytest.raises(UserError, match="missing"):
        read_metrics(run.path / "nowhere.jsonl")
    assert main(["report", str(run.path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {run.metrics_path}, line 2, is damaged")
    assert said.count("\n") == 1


def test_whatever_a_line_may_hold_can_be_drawn(run: RunDirectory) -> None:
    run.metrics_path.write_text('{"step": -9223372036854775808, "x": true, "y": 1e308}\n{"step": 9223372036854775807, "x": null, "y": 0}\n')
    lines = read_metrics(run.metrics_path)
    assert [values.tolist()[0] for values in series(lines, "x")] == [-(2**63), 1.0]
    assert write_run_report(run).exists()


def test_wandb_is_optional(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"rlhf-games\[wandb\]"):
        MetricsWriter(run, wandb=True)
    calls: list[Any] = []
    fake = types.SimpleNamespace(
        id="a1b2",
        init=lambda **settings: calls.append(settings) or fake,
        log=lambda values, step: calls.append((step, values)),
        finish=lambda: calls.append("finish"),
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with MetricsWriter(run, wandb=True) as writer:
        writer.write(3, {"a": 1.0, "b": math.nan})
    assert calls[0]["config"] == {"a": 1}
    assert (calls[0]["id"], calls[0]["resume"]) == (None, "never")
    assert calls[1:] == [(3, {"a": 1.0}), "finish"]
    MetricsWriter(run, wandb=True, resume_step=3).close()
    assert (calls[3]["id"], calls[3]["resume"]) == ("a1b2", "allow"), "a run that goes on is the same run there"


def test_wandb_keeps_a_run_on_this_machine_where_it_is_installed(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with MetricsWriter(run, wandb=True) as writer:
        writer.write(3, {"a": 1.0})
    assert list(run.path.glob("wandb/offline-run-*/*.wandb"))
    assert run.wandb_path.read_text().strip()
