"""``rlhf-games bench``: speed, side by side with peers."""
