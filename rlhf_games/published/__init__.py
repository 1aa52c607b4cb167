"""The policy and the reward model that a run has now, on disk: the learner writes them, the arena loads them anew when they change."""
