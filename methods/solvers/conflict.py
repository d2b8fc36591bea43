"""CAGrad's dual: the simplex weights of the direction in which the worst task gains most, near the mean gradient."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from methods.solvers.exchange import Exchange
from methods.solvers.matrix import EPS, Array, rounding, scaled, vanishes
from methods.solvers.simplex import min_norm


@dataclass(frozen=True, slots=True)
class ConflictAverse:
    """Weights ``[T]`` of d = g_0 + c ‖g_0‖ Jᵀw / ‖Jᵀw‖, and the duality gap of w relative to what its objective adds up.

    The gap is f(w) - min_i (∂f/∂w_i), beyond rounding, for f(w) = <Jᵀw, g_0> + c ‖g_0‖ ‖Jᵀw‖.
    """

    weights: Array
    gap: float


def conflict_averse(gramian: Array, mean: Array, c: float, eps: float = EPS) -> ConflictAverse:
    """d = argmax min_i <g_i, d> over ‖d - g_0‖ <= c ‖g_0‖, with g_0 = Jᵀ mean; no row of J is zero.

    On the affine hull of a face the minimiser of f is m - t v in closed form: m the face's min-norm point, v its response to h = G mean,
    t = √(‖Jᵀm‖² / (k² - vᵀh)), k = c ‖g_0‖. Where k² <= vᵀh it runs off along -v. The faces are found by exchanging all weights and
    gradients of the wrong sign at once, and where that is not certified one by one, from the best vertex, always downhill.

    Where Jᵀw = 0 (0 is a convex combination of gradients) d is 0 for c >= 1 and g_0 below.
    """
    if vanishes(gramian, mean, eps) or c == 0:
        return ConflictAverse(mean if c == 0 else np.zeros_like(mean), 0.0)
    problem = _Problem(gramian, mean, c, eps)
    weights = problem.pair() if len(mean) == 2 else problem.exchanged()
    gap = problem.gap(weights)
    if not gap <= EXACT:
        slower = problem.descended(problem.vertex())
        if not gap <= problem.gap(slower):
            weights, gap = slower, problem.gap(slower)
    # A large gap next to the kink of f, where Jᵀw = 0, is rounding.
    kink = problem.vanishes(weights) or (gap > GOOD and vanishes(problem.gramian, min_norm(gramian).weights, eps))
    if kink:
        lifted = problem.lifted() if c < 1 else None
        if lifted is None:
            return ConflictAverse(mean if c < 1 else np.zeros_like(mean), 0.0)
        weights, gap = lifted, problem.gap(lifted)
    norm = float(weights @ problem.gramian @ weights)
    return ConflictAverse(mean + problem.k / math.sqrt(norm) * weights, gap)


GOOD = 1e-10
EXACT = 1e-12
ROUNDS = 16


class _Problem:
    """f(w) = hᵀw + k √(wᵀGw) on the simplex."""

    def __init__(self, gramian: Array, mean: Array, c: float, eps: float) -> None:
        self.gramian = scaled(gramian)
        self.eps = eps
        self.h = self.gramian @ mean
        self.k = c * math.sqrt(float(mean @ self.h))
        self.blur = rounding(self.gramian, mean)
        self.norms = np.sqrt(self.gramian.diagonal())

    def pair(self) -> Array:
        """T = 2 in closed form."""
        (a, b), (_, d) = self.gramian.tolist()
        spread, tilt = a + d - 2 * b, float(self.h[1] - self.h[0])
        if spread <= 0:
            return np.full(2, 0.5)
        middle, least = (d - b) / spread, max(a * d - b * b, 0.0) / spread
        bend = self.k**2 * spread - tilt**2
        first = middle + tilt * math.sqrt(least / (spread * bend)) if bend > 0 else float(tilt > 0)
        first = min(max(first, 0.0), 1.0)
        return np.array([first, 1 - first])

    def vanishes(self, weights: Array) -> bool:
        norm, sizes = float(weights @ self.gramian @ weights), float(weights @ self.norms)
        return not norm > 1e-6 * sizes * sizes and vanishes(self.gramian, weights, self.eps)

    def value(self, weights: Array) -> float:
        return float(self.h @ weights + self.k * math.sqrt(max(float(weights @ self.gramian @ weights), 0.0)))

    def slopes(self, weights: Array) -> tuple[Array, Array]:
        """∂f/∂w ``[T]``, and its rounding."""
        product = self.gramian @ weights
        norm = float(weights @ product)
        if norm <= 0:
            return self.h, self.blur
        pull = self.k / math.sqrt(norm)
        blur = rounding(self.gramian, weights)
        return self.h + pull * product, self.blur + pull * (blur + np.abs(product) * (float(weights @ blur) / norm / 2))

    def gap(self, weights: Array) -> float:
        slopes, blur = self.slopes(weights)
        level = float(weights @ slopes)
        excess = level - float((slopes + blur).min()) - float(weights @ blur)
        if math.isnan(excess):
            return math.inf
        drift = float(weights @ self.h)
        size = float(weights @ np.abs(self.h)) + max(level - drift, 0.0)
        return max(excess, 0.0) / size if size > 0 else 0.0

    def vertex(self) -> Array:
        weights = np.zeros(len(self.h))
        weights[int(np.argmin(self.h + self.k * np.sqrt(self.gramian.diagonal())))] = 1.0
        return weights

    def face(self, active: NDArray[np.intp]) -> tuple[Array, Array, bool]:
        """(minimiser, direction of descent, whether the minimiser exists) on the affine hull of the active gradients."""
        block = self.gramian[active[:, None], active]
        unit = float(block.diagonal().min())
        block = block / unit
        scale = 1 / np.sqrt(block.diagonal() + 1.0)
        right = np.empty((len(active), 2))
        right[:, 0] = scale
        right[:, 1] = scale * self.h[active] / unit
        solved = np.linalg.solve((block + 1.0) * scale * scale[:, None], right) * scale[:, None]
        centre, response = solved[:, 0], solved[:, 1]
        centre = centre / centre.sum()
        response = response - response.sum() * centre
        bend = self.k**2 / unit - float(response @ self.h[active]) / unit
        norm = max(float(centre @ block @ centre), 0.0)
        if bend <= 0:
            return centre, -response, False
        return centre - math.sqrt(norm / bend) * response, -response, True

    def exchanged(self) -> Array:
        size = len(self.h)
        passive = np.ones(size, dtype=bool)
        exchange = Exchange(size)
        weights = np.full(size, np.nan)
        for _ in range(ROUNDS):
            active = passive.nonzero()[0]
            try:
                target, direction, exists = self.face(active)
            except np.linalg.LinAlgError:
                break
            wrong = np.zeros(size, dtype=bool)
            wrong[active] = (target < 0) if exists else (direction < 0)
            if exists and not wrong.any():
                weights = np.zeros(size)
                weights[active] = target
                slopes, blur = self.slopes(weights)
                wrong = ~passive & (slopes < float(weights @ slopes) - blur)
            wrongs = int(np.count_nonzero(wrong))
            if not wrongs:
                break
            passive = exchange.step(passive, wrong, wrongs)
            if not passive.any():
                break
        return weights

    def descended(self, start: Array) -> Array:
        """Wolfe's method for f: every round enters one vertex and goes to the minimiser of the face, or to the boundary on the way."""
        weights = start.copy()
        active = weights.nonzero()[0].tolist()
        best, least = weights.copy(), math.inf
        for _ in range(20 * len(weights) + 100):
            value = self.value(weights)
            if not (value < least and weights.any()):
                break
            best, least = weights.copy(), value
            slopes, blur = self.slopes(weights)
            excess = float(weights @ (slopes - blur)) - slopes - blur
            entering = int(np.argmax(excess))
            if excess[entering] <= 0 or (entering in active and least < math.inf and len(active) == 1):
                break
            if entering not in active:
                active.append(entering)
            for _ in range(len(weights) + 1):
                face = np.array(active)
                try:
                    target, direction, exists = self.face(face)
                except np.linalg.LinAlgError:
                    break
                if exists and (target > 0).all():
                    weights[:] = 0
                    weights[face] = target
                    break
                current = weights[face]
                change = target - current if exists else direction
                falling = ((target <= 0) if exists else (direction < 0)) & (change < 0)
                if not falling.any():
                    break
                reach = np.where(falling, current / np.where(falling, -change, 1.0), np.inf)
                moved = current + float(reach.min()) * change
                moved[int(reach.argmin())] = 0.0
                keep = moved > 0
                weights[:] = 0
                weights[face] = np.where(keep, moved, 0.0)
                active = [task for task, kept in zip(active, keep, strict=True) if kept]
                if len(active) <= 1:
                    weights[active] = 1.0
                    break
        total: Array = best / best.sum()
        return total

    def lifted(self) -> Array | None:
        """The minimiser if f < 0 anywhere, found past the kink where Jᵀw = 0: raising all gradients into one more dimension smooths it."""
        raised = copy.copy(self)
        raised.gramian = self.gramian + LIFT
        start = raised.descended(self.vertex())
        if self.value(start) >= 0 or vanishes(self.gramian, start, self.eps):
            return None
        return self.descended(start)


LIFT = 1e-12
