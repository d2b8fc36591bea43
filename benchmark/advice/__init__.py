"""Which method to use on one problem, found in a given time: ``rungs`` plans, ``halving`` runs, ``verdict`` weighs, ``words`` says it."""
