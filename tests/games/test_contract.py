"""Every registered game fulfils the contract: device games in full, host games in full for some and lightly for all others."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from rlhf_games import workspace
from rlhf_games.core.card import Card
from rlhf_games.testing import check_game
from rlhf_games.testing.play import difference, record_batch

CARDS = workspace.cards()
DEVICE = [card.name for card in CARDS if card.kind == "device"]
FULL_HOST = [name for name in ("atari/breakout", "pettingzoo/pong") if name in {card.name for card in CARDS}]
LIGHT_HOST = [card.name for card in CARDS if card.kind == "host" and card.name not in FULL_HOST]


def test_there_are_games_of_the_device_families() -> None:
    assert set(DEVICE) >= {
        *(f"minatar/{name}" for name in ("asterix", "breakout", "freeway", "seaquest", "space_invaders")),
        *(f"board/{name}" for name in ("connect_four", "tic_tac_toe")),
    }


@pytest.mark.parametrize("name", DEVICE)
def test_device_game_fulfils_the_contract(name: str) -> None:
    check_game(workspace.load_game(name), rebuild=workspace.load_game)


@pytest.mark.parametrize("name", FULL_HOST)
def test_host_game_fulfils_the_contract(name: str) -> None:
    check_game(workspace.load_game(name), steps=200, seeds=(0, 1), rebuild=workspace.load_game)


@pytest.mark.parametrize("name", LIGHT_HOST)
def test_host_game_opens_draws_and_replays_exactly(name: str) -> None:
    """All that is asked of each of many games is asked in one go: an emulator takes longer to start than to play what is asked for."""
    game: Any = workspace.load_game(name)
    spec, count = game.spec, game.spec.actions.n
    batch = game.batch(1)
    episode = record_batch(batch, spec, 1, 50, 7).episodes[0]
    batch.close()
    first, last = episode.steps[0], episode.steps[-1]
    assert first.observation.shape == (spec.players, *spec.observation.shape)
    assert {0, count - 1} <= set(np.concatenate(episode.actions).tolist()), "the first and the last action are played"
    assert last.acting.all()
    assert last.legal_action_mask.shape == (spec.players, count)
    session = game.open(episode.seed)
    for expected, action in zip(episode.steps[1:], episode.actions, strict=True):
        problem = difference(expected, session.step(action))
        assert not problem, problem
    seen = session.timestep.observation
    if len(spec.observation.channels) > 4:  # what is left of the seat's own number
        seen = seen[..., :4]
    assert seen.any()
    frames = session.frames()
    session.close()
    assert frames.shape == (round(60 / spec.decisions_per_second), *spec.frame_shape, 3), "every frame since the last decision"
    assert frames.dtype == np.uint8
    assert len(spec.aim) > 20
    assert spec.keys
    assert set(spec.keys.values()) <= set(range(count))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_card_and_description_agree(card: Card) -> None:
    spec = workspace.load_game(card.name).spec
    assert (spec.name, spec.players, spec.aim) == (card.name, card.players, card.aim)
    assert card.title
    assert card.aim.endswith(".")


@pytest.mark.parametrize("family", sorted({card.family for card in CARDS}))
def test_every_option_is_documented_in_the_readme(family: str) -> None:
    folder = next(card.folder for card in CARDS if card.family == family)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "Version history" in readme
    options: Any = importlib.import_module(f"rlhf_games_workspace.games.{family}.game").Options
    missing = [name for name in options.__dataclass_fields__ if f"`{name}`" not in readme]
    assert not missing, f"games/{family}/README.md does not explain {missing}"
