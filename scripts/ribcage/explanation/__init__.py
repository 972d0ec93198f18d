"""Where on a film a network finds its evidence, whether to believe it, and whether it is right."""
