"""Quadratic programs over the positive orthant: projections on the dual cone {x: Jx >= 0}, and the priority constraints of PCD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from methods.solvers.exchange import Exchange
from methods.solvers.matrix import EPS, Array, equilibrated, noise


@dataclass(frozen=True, slots=True)
class Nonnegative:
    """s ``[T]`` >= 0, and the largest violation of y = Ms + q >= 0 and of s_i y_i = 0, beyond rounding, over max |q|."""

    solution: Array
    residual: float


@dataclass(frozen=True, slots=True)
class Projections:
    """Weights ``[K, T]`` of the K projections, and the largest KKT residual of any, relative to the length of what is projected."""

    weights: Array
    residual: float


def cone_projections(gramian: Array, points: Array, eps: float = EPS) -> Projections:
    """For each row u of points ``[K, T]``, all >= 0, the v >= u with the least vᵀGv: Jᵀv is the projection of Jᵀu on {x: Jx >= 0}.

    With the cosines C, s = N (v - u) >= 0 minimises sᵀCs / 2 + (C N u)ᵀ s. Points are solved together; one that does not conflict is its
    own projection.
    """
    cosines, norms = equilibrated(gramian)
    stretched = points * norms
    lengths = stretched.max(axis=1)
    stretched = stretched / np.where(lengths > 0, lengths, 1.0)[:, None]
    linear = stretched @ cosines
    solutions, residual = nonnegative_all(cosines, linear, np.abs(cosines) @ stretched.T)
    found = solutions + stretched
    squared = (found * (found @ cosines)).sum(axis=1)
    blur = noise(len(norms), eps) * (found * (found @ np.abs(cosines))).sum(axis=1)
    found[squared <= blur] = 0.0  # a projection that is zero to rounding is zero
    return Projections(found * lengths[:, None] / norms, residual)


def nonnegative(matrix: Array, linear: Array) -> Nonnegative:
    """argmin over s >= 0 of sᵀMs / 2 + qᵀs for a positive semidefinite M with unit diagonal. Unbounded where the residual is not small."""
    solutions, residual = nonnegative_all(matrix, linear[None], np.abs(linear)[:, None])
    return Nonnegative(solutions[0], residual)


def block_pivot(matrix: Array, linear: Array, passive: NDArray[np.bool_], blur: Array | float) -> Array:
    """One problem by block principal pivoting alone, from a first guess of the passive set: fast, and to be certified by the caller."""
    size = len(matrix)
    solution = np.zeros(size)
    exchange = Exchange(size)
    for _ in range(ROUNDS):
        face = passive.nonzero()[0]
        solution = np.zeros(size)
        if face.size:
            try:
                solution[face] = np.linalg.solve(matrix[face[:, None], face], -linear[face])
            except np.linalg.LinAlgError:
                break
        slack = matrix @ solution + linear
        wrong = np.where(passive, solution < 0, slack < -blur)
        wrongs = int(np.count_nonzero(wrong))
        if not wrongs:
            break
        passive = exchange.step(passive, wrong, wrongs)
    return solution


def nonnegative_all(matrix: Array, linear: Array, magnitude: Array) -> tuple[Array, float]:
    """The same for the K rows of ``linear`` at once, and the worst residual.

    A regular M is solved by block pivoting. A singular one is made regular by δ/2 ‖s - s'‖², s' the solution before (the proximal point
    method, Rockafellar 1976), δ falling, which ends at a solution of the problem itself. What is left uncertified goes to
    :func:`_active_set`. ``magnitude`` ``[T, K]`` is what q was added up from: its rounding.
    """
    size = linear.shape[1]
    blur = 4 * size * EPS * magnitude.T
    passive = linear < -blur
    todo = passive.any(axis=1)
    solutions = np.zeros_like(linear)
    if not todo.any():
        return solutions, 0.0
    absolute = np.abs(matrix)
    diagonal = np.arange(size)
    shifted = matrix.copy()
    shifted[diagonal, diagonal] -= REGULAR
    try:
        np.linalg.cholesky(shifted)
        if len(linear) == 1:
            solutions[0] = np.maximum(block_pivot(matrix, linear[0], passive[0], blur[0]), 0.0)
        else:
            solutions[todo] = _pivot(matrix, absolute, linear[todo], passive[todo], blur[todo])
        residuals = _residuals(matrix, absolute, linear, magnitude, solutions)
    except np.linalg.LinAlgError:
        shifted[diagonal, diagonal] += REGULAR
        residuals = np.where(todo, np.inf, 0.0)
        for delta in PROXIMAL:
            before = solutions[todo]
            now = shifted.copy()
            now[diagonal, diagonal] += delta
            found = _pivot(now, absolute, linear[todo] - delta * before, passive[todo], blur[todo])
            passive[todo] = found > 0
            better = _residuals(matrix, absolute, linear[todo], magnitude[:, todo], found)
            rows = np.flatnonzero(todo)[better < residuals[todo]]
            solutions[rows], residuals[rows] = found[better < residuals[todo]], better[better < residuals[todo]]
            todo = residuals > EXACT
            if not todo.any():
                break
    for k in np.flatnonzero(~(residuals <= GOOD)):
        other = _active_set(matrix, linear[k], blur[k])
        residual = float(_residuals(matrix, absolute, linear[k : k + 1], magnitude[:, k : k + 1], other[None])[0])
        if not residuals[k] <= residual:
            solutions[k], residuals[k] = other, residual
    return solutions, float(residuals.max())


REGULAR = 1e-7
PROXIMAL = tuple(float(10.0**-k) for k in np.arange(3, 13.5, 0.5))
"""δ of every repetition: falling, so that directions that are nearly singular are settled as well."""
ROUNDS = 40
EXACT = 1e-12
GOOD = 1e-10


def _pivot(matrix: Array, absolute: Array, linear: Array, passive: NDArray[np.bool_], rounding: Array) -> Array:
    """Block principal pivoting (Júdice & Pires 1994) for all rows of ``linear`` together.

    Each round solves every unfinished problem on its passive set and exchanges all variables of the wrong sign; after three rounds
    without fewer of them, only the last one (Murty's rule, which is finite).
    """
    count, size = linear.shape
    noise = 4 * size * EPS
    solutions = np.zeros_like(linear)
    todo = np.arange(count)
    passive = passive.copy()
    fewest, chances = np.full(count, size + 1), np.full(count, 3)
    q, blur = linear, rounding
    for _ in range(ROUNDS + size):
        found = _on_faces(matrix, q, passive)
        slack = found @ matrix
        slack += q
        wrong = np.where(passive, found < 0, slack < -(noise * (np.abs(found) @ absolute) + blur))
        wrongs = wrong.sum(axis=1)
        solutions[todo] = found
        going = wrongs > 0
        if not going.any():
            break
        if not going.all():
            todo, wrong, wrongs, passive, q, blur = todo[going], wrong[going], wrongs[going], passive[going], q[going], blur[going]
            fewest, chances = fewest[going], chances[going]
        better = wrongs < fewest
        fewest = np.minimum(fewest, wrongs)
        chances = np.where(better, 3, chances - 1)
        single = np.flatnonzero(chances < 0)
        if single.size:
            last = size - 1 - wrong[single][:, ::-1].argmax(axis=1)
            wrong[single] = False
            wrong[single, last] = True
        passive = passive ^ wrong
    return np.maximum(solutions, 0.0)


def _on_faces(matrix: Array, linear: Array, passive: NDArray[np.bool_]) -> Array:
    """For each row, M_FF s_F = -q_F on its passive set F and 0 elsewhere."""
    solution = np.zeros_like(linear)
    if len(linear) == 1:
        (face,) = passive[0].nonzero()
        solution[0, face] = np.linalg.solve(matrix[face[:, None], face], -linear[0, face])
        return solution
    size = len(matrix)
    counts = passive.sum(axis=1)
    widest = int(counts.max())
    if widest == 0:
        return solution
    order = np.argsort(~passive, axis=1, kind="stable")[:, :widest]
    taken = np.arange(widest) < counts[:, None]
    blocks = matrix.take(order[:, :, None] * size + order[:, None, :])
    blocks *= taken[:, :, None]
    blocks *= taken[:, None, :]
    diagonal = np.arange(widest)
    blocks[:, diagonal, diagonal] += ~taken
    right = np.take_along_axis(linear, order, axis=1) * taken
    part = np.linalg.solve(blocks, -right[:, :, None])[:, :, 0]
    np.put_along_axis(solution, order, part, axis=1)
    return solution


def _residuals(matrix: Array, absolute: Array, linear: Array, magnitude: Array, solutions: Array) -> Array:
    slack = solutions @ matrix + linear
    blur = 4 * len(matrix) * EPS * (solutions @ absolute + magnitude.T)
    violated = np.where(solutions > 0, np.abs(slack), -slack) - blur
    size = np.abs(linear).max(axis=1)
    residuals: Array = np.maximum(violated, 0.0).max(axis=1) / np.where(size > 0, size, 1.0)
    return residuals


def _active_set(matrix: Array, linear: Array, blur: Array) -> Array:
    """Lawson & Hanson's method (1974) in Gram space: slower, monotone, at home on singular matrices."""
    size = len(matrix)
    absolute = np.abs(matrix)
    solution = np.zeros(size)
    active: list[int] = []
    for _ in range(10 * size + 50):
        slack = matrix @ solution + linear
        excess = -slack - blur - 4 * size * EPS * (absolute @ solution)
        excess[active] = -np.inf
        entering = int(excess.argmax())
        if excess[entering] <= 0:
            break
        active.append(entering)
        for _ in range(size + 1):
            face = np.array(active)
            block = matrix[face[:, None], face]
            target = np.linalg.lstsq(block, -linear[face], rcond=4 * size * EPS)[0]
            if (target > 0).all():
                solution[:] = 0
                solution[face] = target
                break
            current = solution[face]
            falling = target <= 0
            reach = np.where(falling, current / np.where(falling, current - target, 1.0), np.inf)
            moved = current + float(reach.min()) * (target - current)
            moved[int(reach.argmin())] = 0.0
            keep = moved > 0
            solution[:] = 0
            solution[face] = np.where(keep, moved, 0.0)
            active = [task for task, kept in zip(active, keep, strict=True) if kept]
            if not active:
                break
    return solution
