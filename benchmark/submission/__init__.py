"""A method of somebody else: from a file to a bundle that a maintainer can check, and into the registry.

    file + records of the smoke study + findings -> bundle (a folder) -> checked -> registered

Nothing here imports or runs what was submitted: cards are read from text, records and findings from JSON.
"""
