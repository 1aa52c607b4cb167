"""The contracts that games and agents fulfil. Nothing here imports from the rest of the package."""
