"""Reinforcement learning from human feedback in games."""

__version__ = "0.1.0"
