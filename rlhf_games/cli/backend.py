"""JAX as this program needs it: a device that is there, and numbers of 32 bits."""

from __future__ import annotations

import os
import sys

from rlhf_games.core.errors import UserError

_PLATFORMS, _WIDE = "JAX_PLATFORMS", "JAX_ENABLE_X64"


def demand_32_bits() -> None:
    """Switches 64 bits off where the environment asks for them, and says so; comes before JAX is imported.

    Checkpoints, replays and results are those of 32 bits.
    """
    if os.environ.get(_WIDE, "").lower() in ("1", "true", "t", "yes", "y", "on"):
        os.environ[_WIDE] = "0"
        print(f"{_WIDE} is ignored: rlhf-games computes in 32 bits", file=sys.stderr)


def demand_device() -> None:
    """Looks whether JAX finds a device.

    Raises:
      UserError: ``JAX_PLATFORMS`` names one that this machine, or the JAX that is installed, does not have.
    """
    wanted = os.environ.get(_PLATFORMS, "")
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # an assertion without a word where the platform's plugin is missing
        detail = f": {str(error).partition(chr(10))[0]}" if str(error) else ""
        cure = f"unset {_PLATFORMS}, or set it to cpu; for a GPU of NVIDIA, install rlhf-games[cuda]"
        raise UserError(f"JAX finds no device for {_PLATFORMS}={wanted!r}{detail}. {cure}") from error


def device_problem() -> str:
    """Why JAX finds no device; empty where it does, or where nothing asked it for one yet."""
    if "jax" not in sys.modules or not os.environ.get(_PLATFORMS):
        return ""
    try:
        demand_device()
    except UserError as error:
        return str(error)
    return ""
