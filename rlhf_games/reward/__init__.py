"""Rewards learned from people, and the sources a reward is summed from."""
