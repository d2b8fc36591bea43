"""A method and a problem for LossBench."""
