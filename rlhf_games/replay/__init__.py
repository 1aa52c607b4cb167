"""Replays: a seed and a list of actions. Recording, checking, re-simulation, clips, frames for people."""
