"""Where people play, judge, coach and question the agents."""
