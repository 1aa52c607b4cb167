"""``rlhf-games settings`` lists what can be set, and what an experiment sets."""

from __future__ import annotations

import pytest

from rlhf_games.cli.main import main


def test_an_experiments_settings_are_listed_with_its_own_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "demo", "--set", "agent.config.hidden=[8]"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "feedback.budget  an integer; default 700; set to 400" in lines
    assert "seed  an integer; default 0" in lines
    assert "agent.config.hidden  a list; default [64, 64]; set to [8]" in lines
    assert 'feedback.query.half_life  a number or "none"; default "none"' in lines
    place = lines.index("game.options.max_steps  an integer; default 5000")
    assert lines[place + 1].startswith("    An episode is truncated after this many steps")


def test_without_an_experiment_the_defaults_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    text = capsys.readouterr().out
    assert "game.name  a string; must be set\n" in text
    assert "agent.config.epochs" not in text
    assert main(["settings", "--set", "agent.name=ppo", "--find", "Passes over"]) == 0
    assert capsys.readouterr().out == "agent.config.epochs  an integer; default 4\n    Passes over each rollout.\n"


def test_what_cannot_be_set_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "demo", "--set", "agent.config.epoch=3"]) == 2
    assert "did you mean 'agent.config.epochs'?" in capsys.readouterr().err
    assert main(["settings", "--find", "nothing like it"]) == 2
    assert "no setting has 'nothing like it'" in capsys.readouterr().err
