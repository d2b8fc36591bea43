"""CAGrad's problem: the direction near the mean gradient in which the worst task gains most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from methods.solvers.matrix import EPS, Array, Cosines
from methods.solvers.simplex import balance


@dataclass(frozen=True, slots=True)
class ConflictAverse:
    """Weights ``[T]`` of d, and the duality gap of d relative to what the dual objective adds up, beyond rounding.

    The gap is between min_i <g_i, d> and f(w) = <Jᵀw, g_0> + c ‖g_0‖ ‖Jᵀw‖ for the point w of the simplex with d - g_0 along Jᵀw.
    """

    weights: Array
    gap: float


def conflict_averse(gramian: Array, mean: Array, c: float, eps: float = EPS) -> ConflictAverse:
    """d = argmax min_i <g_i, d> over ‖d - g_0‖ <= c ‖g_0‖, with g_0 = Jᵀ mean; no row of J is zero.

    Where 0 is a convex combination of gradients no worst gain is above 0, and many d may reach that: then d is 0 for c >= 1 and g_0 below.
    """
    cosines = Cosines.of(gramian, eps)
    stretched = mean * cosines.norms
    pulls, blur = cosines.matrix @ stretched, cosines.rounding(stretched)
    squared = float(stretched @ pulls)
    if c == 0 or squared <= stretched @ blur:
        return ConflictAverse(mean if c == 0 else np.zeros_like(mean), 0.0)
    length = math.sqrt(squared)
    problem = _Problem(cosines, pulls / length, blur / length, c)
    shares = None if cosines.singular else problem.exchanged()
    gap = math.inf if shares is None else problem.gap(shares)
    if shares is None or gap > EXACT:
        shares = problem.searched()
        if shares is None:
            return ConflictAverse(mean if c < 1 else np.zeros_like(mean), 0.0)
        gap = problem.gap(shares)
    return ConflictAverse(mean + length * shares / cosines.norms, gap)


GOOD, EXACT = 1e-10, 1e-12
ROUNDS = 16
LIFT = 1e-12


class _Problem:
    """In units in which ‖g_0‖ and the shortest norm are 1: d = g_0 + Σ s_i u_i, ‖d - g_0‖ = c, for unit gradients u.

    The gains are (p + Cs) / r with p_i = <u_i, g_0>, which is rounded by ``blur``, and r_i = 1 / n_i; the dual objective is
    f(s) = (pᵀs + c ‖s‖) / rᵀs with ‖s‖² = sᵀCs, for s >= 0.
    """

    def __init__(self, cosines: Cosines, p: Array, blur: Array, c: float) -> None:
        self.cosines, self.c, self.p, self.blur = cosines, c, p, blur
        self.r = cosines.norms.min() / cosines.norms
        self.both = np.array([self.r, p]).T
        self.raised = cosines.matrix + self.r * self.r[:, None]

    def face(self, face: NDArray[np.intp], lift: float = 0.0) -> tuple[Array, Array, float]:
        """(m, v, ρ) of a face: on its affine hull f is least at ρ m + v, all gains there are equal, and its length is c.

        rᵀm = 1, rᵀv = 0. ρ = 0 where f falls for ever along v, ∞ where m is 0. C + rrᵀ is regular for all affinely independent faces.
        """
        both = self.both[face]
        solved = dposv(self.raised.take(face, axis=0).take(face, axis=1).T, both, overwrite_a=1)[1]
        (middle, response), (r, p) = solved.T, both.T
        inverse = 1 / float(r @ middle)
        level = float(p @ middle) * inverse
        fall = level * middle - response
        bend = self.c * self.c - float(fall @ (level * r - p))
        if bend <= 0:
            return middle * inverse, fall, 0.0
        squared = inverse - 1 + lift
        return middle * inverse, fall, math.sqrt(bend / squared) if squared > 0 else math.inf

    def exchanged(self) -> Array | None:
        """By block pivoting from the face of all tasks: all of the wrong sign change sides at once."""
        free = np.ones(len(self.p), dtype=bool)
        for _ in range(ROUNDS):
            face = free.nonzero()[0]
            middle, fall, rho = self.face(face)
            s = np.zeros_like(self.p)
            s[face] = rho * middle + fall
            wrong = s < 0
            if rho and not wrong.any():
                slopes = self.cosines.matrix @ s + self.p
                level = float(s @ slopes) / float(self.r @ s)
                wrong = ~free & (slopes < level * self.r - self.blur - self.cosines.rounding(s))
                if not wrong.any():
                    return s
            free ^= wrong
            if not free.any():
                break
        return None

    def searched(self) -> Array | None:
        """One by one from the best vertex. None where 0 is a convex combination of gradients and the least f."""
        start = np.zeros_like(self.p)
        vertex = int(((self.p + self.c) / self.r).argmin())
        start[vertex] = 1 / self.r[vertex]
        s = self.descended(start)
        lost = self.cosines.vanishes(s)
        if lost or (self.gap(s) > GOOD and balance(self.cosines) is not None):
            # f has a kink where a combination is 0. Raising all gradients into one more dimension smooths it.
            above = self.descended(start, LIFT)
            if self.c >= 1 or self.cosines.vanishes(above) or self.value(above) >= 0:
                return None
            above = self.descended(above / (self.r @ above))
            s = above if lost or self.gap(above) < self.gap(s) else s
        return s

    def value(self, s: Array) -> float:
        return float(self.p @ s) + self.c * math.sqrt(s @ self.cosines.matrix @ s)

    def descended(self, s: Array, lift: float = 0.0) -> Array:
        """Wolfe's method (Math. Programming 11, 1976) for f: a task enters, then to the minimiser of the face, or to its boundary."""
        p, r, c = self.p, self.r, self.c
        active = s.nonzero()[0].tolist()
        best, least = s, math.inf
        for _ in range(20 * len(s) + 100):
            product = self.cosines.matrix @ s + lift * r
            squared = float(s @ product)
            if not squared > 0:
                return s
            pull = c / math.sqrt(squared)
            slopes = p + pull * product
            value = float(s @ slopes)
            if not value < least:
                break
            best, least = s, value
            slopes += self.blur + pull * self.cosines.rounding(s) - value * r
            entering = int(slopes.argmin())
            if slopes[entering] >= 0 or entering in active:
                break
            active.append(entering)
            for _ in range(len(s) + 1):
                face = np.array(active)
                middle, fall, rho = self.face(face, lift)
                target = middle + fall / rho if rho else fall
                if rho and (target > 0).all():
                    s = np.zeros_like(s)
                    s[face] = target
                    break
                current = s[face]
                change = target - current if rho else target
                falling = (change < 0) & (target <= 0) if rho else change < 0
                if not falling.any():
                    break
                reach = np.where(falling, current / np.where(falling, -change, 1.0), np.inf)
                moved = current + float(reach.min()) * change
                moved[int(reach.argmin())] = 0.0  # the face is left here, whatever rounding says
                s = np.zeros_like(s)
                s[face] = np.maximum(moved, 0.0)
                active = face[moved > 0].tolist()
        (face,) = best.nonzero()
        middle, fall, rho = self.face(face, lift)
        if 0 < rho < math.inf and (rho * middle + fall >= 0).all():
            s = np.zeros_like(best)
            s[face] = rho * middle + fall
            return s
        squared = float(best @ self.cosines.matrix @ best) + lift
        shrunk: Array = best * (c / math.sqrt(squared)) if squared > 0 else best
        return shrunk

    def gap(self, s: Array) -> float:
        product, blur = self.cosines.matrix @ s, self.cosines.rounding(s)
        squared = float(s @ product)
        if not squared > 0:
            return math.inf
        gains = (self.p + product + self.blur + blur) / self.r
        size = float(np.abs(self.p) @ s) + squared
        excess = float(self.p @ s) + squared - float(gains.min()) * float(self.r @ s) - float(s @ (blur + self.blur))
        return max(excess, 0.0) / size
