"""Published tables as facts, and what their own cells say: loaded, recomputed by the functions that score our runs, and shown.

``facts`` (the files of results/published) -> ``recompute`` -> rows, with our own runs ``beside`` them -> ``views``.
"""
