"""Studies: what a file may say, what is read of its runs, and that old runs are not taken for new ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlhf_games.cli.main import main
from rlhf_games.config import from_mapping
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.runner import create_run
from rlhf_games.experiment.study import Study, cells, random_path, run_path
from rlhf_games.experiment.study_results import analyse, read_results

from . import tiny

RETURNS = {
    ("good", "true"): (10.0, 12.0),
    ("good", "answers"): (9.0, 7.0),
    ("good", "constant"): (2.0, 2.0),
    ("bad", "true"): (1.0, 1.2),
    ("bad", "answers"): (6.0, 6.0),
    ("bad", "constant"): (0.0, 0.0),
}
"""True returns by game and arm, for the seeds 0 and 1. In the bad game the true reward teaches less than nothing."""


def table(**changes: Any) -> dict[str, Any]:
    """What a study file says."""
    base = tiny.settings(iterations=2)
    del base["name"], base["seed"]
    arms = [
        {"name": "true", "settings": {"reward": {"learned": 0.0, "true": 1.0}}},
        {"name": "answers"},
        {"name": "constant", "control": "control", "settings": {"reward": {"learned": 0.0, "constant": 1.0}}},
    ]
    return {"name": "small", "seeds": [0, 1], "base": base, "games": [{"name": "good"}, {"name": "bad"}], "arms": arms} | changes


def study(**changes: Any) -> Study:
    """The study of a table."""
    return from_mapping(Study, table(**changes), "study.toml")


def finish(found: Study, folder: Path) -> None:
    """Runs of the study as a learner leaves them, with the returns above; the untrained policy scores 2."""
    for cell in cells(found):
        run = create_run(found.experiment(cell.game, cell.arm, cell.seed), run_path(folder, cell))
        score = RETURNS[cell.game.name, cell.arm.name][cell.seed]
        (run.path / "summary.json").write_text(json.dumps({"return": score, "return_stderr": 0.1}))
        random_path(folder, cell.game.name).write_text(json.dumps({"return": 2.0}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [0, 1, 0]}, "seeds: 0 is there twice"),
        ({"games": [{"name": "../../x"}]}, "games: '../../x' cannot be the name of a folder"),
        ({"games": [{"name": "minatar/breakout"}]}, "games: 'minatar/breakout' cannot be"),
        ({"games": [{"name": ".."}]}, "games: '..' cannot be"),
        ({"games": [{"name": ""}]}, "games: '' cannot be"),
        ({"games": [{"name": "x" * 101}]}, "cannot be the name of a folder"),
        ({"games": [{"name": "A"}, {"name": "a"}]}, "games: 'a' is there twice"),
        ({"arms": [{"name": "true"}, {"name": "/tmp/x"}]}, "arms: '/tmp/x' cannot be"),
        ({"arms": [{"name": "true"}, {"name": "x\x1b[2J"}]}, "cannot be the name of a folder"),
        ({"arms": [{"name": "true"}, {"name": "x"}, {"name": "x"}]}, "arms: 'x' is there twice"),
        ({"arms": [{"name": "true", "control": "c"}]}, "needs an arm called 'true'"),
        ({"arms": [{"name": "true"}, {"name": "x", "control": "true"}]}, "'true' is the name of an arm and of a control"),
        ({"arms": [{"name": "answers"}]}, "needs an arm called 'true'"),
        ({"name": "../x"}, "name: '../x' cannot be"),
    ],
)
def test_what_a_study_may_not_say(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=r"study\.toml") as caught:
        study(**changes)
    assert message in str(caught.value)


def test_a_game_whose_true_reward_teaches_nothing_has_no_ratio(tmp_path: Path) -> None:
    finish(study(), tmp_path)
    found = analyse(read_results(study(), tmp_path))
    assert found["ratios"] == {
        "control": {"good": pytest.approx([0.0, 0.0])},
        "true": {"good": pytest.approx([8 / 9, 10 / 9])},
        "answers": {"good": pytest.approx([7 / 9, 5 / 9])},
    }
    assert found["iqm"]["answers"]["value"] == pytest.approx(6 / 9)
    assert found["iqm"]["answers"]["low"] < 6 / 9 < found["iqm"]["answers"]["high"]
    assert "not clearly above the untrained policy's 2.00" in found["games"]["bad"]["no_ratio"]
    assert "no_ratio" not in found["games"]["good"]
    assert found["games"]["bad"]["scores"]["answers"] == [6.0, 6.0]
    assert found["beats"]["answers"]["control"]["bad"]["value"] == 1.0  # who beats whom needs no ratio


def test_the_table_says_where_there_is_no_ratio(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    finish(study(), tmp_path)
    file = as_file(tmp_path, study())
    assert main(["study", str(file), "--out", str(tmp_path), "--table-only"]) == 0
    said = capsys.readouterr().out
    assert "8.00 (0.67)" in said
    assert "6.00 (no ratio)" in said
    assert re.search(r" 0\.67 \[-?\d+\.\d\d, \d+\.\d\d\] ", said), "(8 - 2) / (11 - 2) and its interval"
    assert "\\" not in said
    assert "bad: no ratio: trained on the true reward it scores 1.10 (standard error 0.10), not clearly above" in said
    assert (tmp_path / "ratios.png").exists()


def test_one_seed_has_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    one = study(seeds=[0], games=[{"name": "good"}])
    finish(one, tmp_path)
    file = as_file(tmp_path, one)
    assert main(["study", str(file), "--out", str(tmp_path), "--table-only"]) == 0
    assert "0.88 (one seed: no interval)" in capsys.readouterr().out  # (9 - 2) / (10 - 2)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["iqm"]["answers"] == {"value": 0.875, "low": None, "high": None}


def test_a_table_of_other_settings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish(study(), tmp_path)
    other_budget = table()
    other_budget["base"]["feedback"]["budget"] = 60
    other_game = table(games=[{"name": "good", "settings": {"game": {"name": "probe/timed"}}}])
    fewer_seeds = table(seeds=[0])
    for changed, words in (
        (other_budget, "(feedback.budget was 30, is 60)"),
        (other_game, "(game.name was probe/match, is probe/timed)"),
        (table(name="new", games=[{"name": "unknown"}]), "holds no run of the study 'new'"),
    ):
        file = as_file(tmp_path, from_mapping(Study, changed, "the test"))
        assert main(["study", str(file), "--out", str(tmp_path), "--table-only"]) == 2
        assert words in capsys.readouterr().err.replace("\n", " ")
    assert read_results(from_mapping(Study, fewer_seeds, "the test"), tmp_path).scores["good"]["answers"].tolist() == [9.0]


@pytest.mark.parametrize("wrong", ["{}", '{"return": NaN}', '{"return": "9"}', "[]", ""])
def test_a_damaged_score_is_named(tmp_path: Path, wrong: str) -> None:
    finish(study(), tmp_path)
    (tmp_path / "good" / "answers" / "1" / "summary.json").write_text(wrong)
    with pytest.raises(UserError, match=r"good/answers/1/summary\.json"):
        read_results(study(), tmp_path)


def as_file(folder: Path, found: Study) -> Path:
    """The study as a file (with one key per line: JSON tables are not TOML)."""
    lines = [f"name = {json.dumps(found.name)}", f"seeds = {list(found.seeds)}"]
    lines += [f"{key} = {value}" for key, value in tiny_toml(found.base, "base.")]
    for kind in ("games", "arms"):
        for variation in getattr(found, kind):
            lines += [f"[[{kind}]]", f"name = {json.dumps(variation.name)}", f"control = {json.dumps(variation.control)}"]
            lines += [f"{key} = {value}" for key, value in tiny_toml(variation.settings, "settings.")]
    file = folder / "study.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


def tiny_toml(values: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    """Dotted keys and values of nested tables."""
    found = []
    for key, value in values.items():
        found += tiny_toml(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", json.dumps(value))]
    return found
