"""Playing many games at once with one agent."""
