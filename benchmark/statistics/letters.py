"""Groups of rows that cannot be told apart, as letters."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters

import numpy as np
from numpy.typing import ArrayLike

from benchmark.statistics.significance import holm


def letters(p: ArrayLike, order: Sequence[int], alpha: float = 0.05) -> list[str]:
    """Compact letter display: two methods share a letter exactly where they cannot be told apart.

    The best has "a". Rows that share a letter with the best cannot be told from it; that need not be the "a", as two such rows may differ
    from one another, in which case the best has two letters. ``p`` is corrected by Holm over all pairs, so the chance that any two equal
    methods are told apart is at most ``alpha``.

    Cliques of the graph of pairs that are not told apart, grown in the order of the rows until they cover every edge: the clique cover of
    Gramm et al. 2007 ("Algorithms for compact letter displays"), after Piepho 2004. At most one letter an edge, where all cliques may be
    exponentially many.

    Args:
        p: [methods, methods], symmetric, as of :func:`separations`; the diagonal does not matter.
        order: methods from best to worst. Those that are not in it have no letter.
        alpha: level of the whole family.

    Returns:
        [methods] letters, in the order of ``p``: a to z, A to Z, then a2, b2, ... Empty where a row's p are nan: nothing is known of it.
    """
    array = np.asarray(p, dtype=np.float64)
    rows = [row for row in order if len(order) == 1 or not all(np.isnan(array[row, other]) for other in order if other != row)]
    upper = np.triu_indices(len(rows), 1)
    adjusted = holm(array[np.ix_(rows, rows)][upper])
    alike = np.eye(len(rows), dtype=np.bool_)
    alike[upper] = ~(adjusted <= alpha)  # nan, a pair of which nothing is known, is not told apart
    alike |= alike.T
    found = ["" for _ in array]
    for index, group in enumerate(_cover(alike)):
        for member in group:
            found[rows[member]] += _letter(index)
    return found


def _cover(alike: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> list[list[int]]:
    """Cliques that hold every edge of a symmetric [n, n] and every vertex, sorted; the first holds vertex 0."""
    covered = np.zeros_like(alike)
    cliques = []
    for row in range(len(alike)):
        while True:
            open_ = np.flatnonzero(alike[row] & ~covered[row])
            if not len(open_):
                break
            clique = [row, int(open_[-1])] if open_[-1] != row else [row]
            for other in range(len(alike)):
                if other not in clique and alike[other, clique].all():
                    clique.append(other)
            covered[np.ix_(clique, clique)] = True
            cliques.append(sorted(clique))
    return cliques


def _letter(index: int) -> str:
    turn, place = divmod(index, len(ascii_letters))
    return ascii_letters[place] + (str(turn + 1) if turn else "")
