"""Training the seeds of one configuration in one pass: stacked parameters, one gradient computation, one record a seed.

:mod:`.stack` puts the sessions of several seeds side by side, :mod:`.passes` says what is computed for them, :mod:`.graphs` compiles that,
:mod:`.balance` asks each seed's own method what to do with it, :mod:`.engine` trains, :mod:`.support` says where all this is possible and
:mod:`.choice` where it pays.
"""
