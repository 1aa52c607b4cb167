"""Learning parts that agents and reward models share."""
