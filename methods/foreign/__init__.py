"""Objects that were written for something else, made into methods: torchjd's, and any callable from losses to a scalar.

``text`` and ``source`` say what an object is called and what can be known of it without running it; ``build`` makes it, and ``families``
gives it what it would be given at home. What is particular to one foreign package is in that package's file in ``methods/adapters``.
"""
