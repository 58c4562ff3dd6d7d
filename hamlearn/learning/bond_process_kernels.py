"""Kernels of what is fitted together in the frames of bonds: of pairs there, of atoms added up over their bonds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.sparse import csr_array, eye_array

from hamlearn.features.bond_rows import Bonds
from hamlearn.kernels.bond_kernel import CONSTANT, BondBasis, BondKernel, BondSet
from hamlearn.learning.bond_problems import PairProblem, Problem, SiteProblem, turned_back
from hamlearn.learning.groups import Group
from hamlearn.o3.monomials import Key
from hamlearn.regression.full import mirror
from hamlearn.types import FloatArray, IntArray

ENTRIES = 2**22
"""Numbers of a kernel of bonds at once, 32 MB."""

SHIFTS = 16
"""How often columns below the diagonal are left away; to lay out those that stay takes time as well."""

COPIES = 6
"""Of these, alive at the peak."""


def terms_of(kernel: BondKernel, problem: Problem) -> list[tuple[Bonds, Key]]:
    """Return the kinds of bonds and the keys whose kernels a problem adds up."""
    if isinstance(problem, PairProblem):
        return [(problem.kind, problem.key)] if problem.kind in kernel.contractions_ else []
    kinds = kernel.neighbours(problem.group.family.species_i)
    return [(kind, key) for kind in kinds for key in problem.keys]


def n_units(kernel: BondKernel, problem: Problem, basis: BondBasis) -> int:
    """Return how many pairs within the cut-off, or atoms, a problem has rows of."""
    if isinstance(problem, PairProblem):
        return len(basis.sets[problem.kind]) if problem.kind in basis.sets else 0
    return next((basis.counts[kind] for kind in kernel.neighbours(problem.group.family.species_i)), 0)


def spread(problem: Problem, key: Key, own: BondSet, n: int) -> csr_array:
    """Return S that takes components of bonds of a key in frames to the rows of a problem [row, (bond, part)].

    For pairs these are the weights; for atoms the components are turned back, and added up over bonds.

    Args:
        problem: whose rows.
        key: of the components.
        own: the bonds.
        n: number of units.
    """
    n_parts = 2 if key[0] else 1
    columns = np.arange(len(own) * n_parts)
    weight = own.weight.detach().numpy()
    if isinstance(problem, PairProblem):
        return csr_array((np.repeat(weight, n_parts), (columns, columns)), shape=(n * n_parts, len(columns)))
    turned = _turned_back(problem.group, key, own) * weight[:, None, None]
    return _scattered(turned, own.sample, n)


def back(problem: Problem, group: Group, basis: BondBasis, n: int) -> csr_array:
    """Return what takes the rows of a problem to a group in the laboratory [(sample, component), row].

    Args:
        problem: whose rows.
        group: one of its groups.
        basis: all bonds.
        n: number of samples of the group.
    """
    if isinstance(problem, SiteProblem):
        return csr_array(eye_array(n * group.width))
    own = basis.sets[problem.kind]
    return _scattered(_turned_back(group, problem.key, own), own.sample, n)


def _turned_back(group: Group, key: Key, own: BondSet) -> FloatArray:
    """Return the components in the laboratory of the parts in frames [bond, 2L+1, part]."""
    n_parts = 2 if key[0] else 1
    parts = torch.eye(n_parts, dtype=torch.float64).expand(len(own), n_parts, n_parts)
    return turned_back(own.rotations[group.L], parts, key[0], group).numpy()


def _scattered(blocks: FloatArray, sample: IntArray, n: int) -> csr_array:
    """Return blocks [bond, row, part] as a matrix [(sample, row), (bond, part)]."""
    n_bonds, n_rows, n_parts = blocks.shape
    rows = np.broadcast_to((sample[:, None] * n_rows + np.arange(n_rows))[:, :, None], blocks.shape)
    columns = np.broadcast_to(np.arange(n_bonds * n_parts).reshape(-1, 1, n_parts), blocks.shape)
    return csr_array((blocks.ravel(), (rows.ravel(), columns.ravel())), shape=(n * n_rows, n_bonds * n_parts))


def kernels(kernel: BondKernel, problems: Sequence[Problem], a: BondBasis, b: BondBasis) -> list[FloatArray]:
    """Return the kernels of problems of one family [row of a, row of b], rows by unit, then part or component.

    Kernels of bonds are made once for all of the problems, tile by tile; of bonds with themselves (b is a) those above
    the diagonal.
    """
    out = []
    for problem in problems:
        n, m = (n_units(kernel, problem, side) * problem.width for side in (a, b))
        out.append(np.full((n, m), CONSTANT if has_intercept(problem) else 0.0))
    keys: dict[Bonds, dict[Key, list[int]]] = {}
    for index, problem in enumerate(problems):
        for kind, key in terms_of(kernel, problem):
            keys.setdefault(kind, {}).setdefault(key, []).append(index)
    for kind, wanted in keys.items():
        for start, stop, left, first, right in _tiles(a, b, kind):
            found = kernel.between(kind, left, right, list(wanted))
            exchanged = kernel.between(kind, left, right, list(wanted), exchanged=True) if kind.is_like else found
            for key, users in wanted.items():
                for index in users:
                    problem = problems[index]
                    k = found[key]
                    if isinstance(problem, PairProblem) and problem.eta:
                        k = k + problem.eta * exchanged[key]
                    if has_constant(problem, key):
                        k = k + CONSTANT
                    n = out[index].shape[1] // problem.width - first
                    s_a, s_b = spread(problem, key, left, stop - start), spread(problem, key, right, n)
                    reduced = s_a @ k.reshape(k.shape[0] * k.shape[1], k.shape[2] * k.shape[3])
                    rows = slice(start * problem.width, stop * problem.width)
                    out[index][rows, first * problem.width :] += (s_b @ reduced.T).T
    if b is a:
        for k in out:
            mirror(k.T)
    return out


def has_intercept(problem: Problem) -> bool:
    """Return whether all atoms share a constant, with bonds or without."""
    return isinstance(problem, SiteProblem) and problem.has_intercept


def has_constant(problem: Problem, key: Key) -> bool:
    """Return whether a constant has the symmetry of the components of a key."""
    return problem.has_constant if isinstance(problem, PairProblem) else key == (0, 1)


def _tiles(a: BondBasis, b: BondBasis, kind: Bonds) -> Iterator[tuple[int, int, BondSet, int, BondSet]]:
    """Yield units start ... stop - 1 of a and their bonds, and the first unit of b and the bonds from there on.

    Units are pairs within the cut-off or atoms. If b is a those of b begin behind units of a that are done.
    """
    own, n, first, right = a.sets[kind], _n_units(a, kind), 0, b.sets[kind]
    if b is a:
        right = replace(right, _points={})  # what is laid out shall not stay
    step = max(1, ENTRIES * n // max(1, 4 * len(right) * len(own)))
    for start in range(0, n, step):
        stop = min(start + step, n)
        if b is a and start >= first + max(1, n // SHIFTS):
            first, right = start, _of_units(b, kind, start, n)
        yield start, stop, _of_units(a, kind, start, stop), first, right


def _n_units(basis: BondBasis, kind: Bonds) -> int:
    return len(basis.sets[kind]) if kind.kind == "pair" else basis.counts[kind]


def _of_units(basis: BondBasis, kind: Bonds, start: int, stop: int) -> BondSet:
    """Return the bonds of units start ... stop - 1, counted anew."""
    own = basis.sets[kind]
    if kind.kind == "pair":
        return own.select(slice(start, stop), np.arange(stop - start))
    return own.of_samples(start, stop)


def restricted(basis: BondBasis, kinds: Sequence[Bonds], units: IntArray) -> BondBasis:
    """Return the bonds of some units, ascending, of the kinds of one family, counted anew."""
    sets = {}
    for kind in kinds:
        own = basis.sets[kind]
        sets[kind] = own.select(units) if kind.kind == "pair" else own.only(units)
    return BondBasis(sets, {kind: basis.counts[kind] if kind.kind == "pair" else len(units) for kind in kinds})


def folded(kernel: BondKernel, problem: Problem, weights: FloatArray) -> FloatArray:
    """Return the weights of sums over bonds in their frames from those of rows of the basis [weight, target].

    One of the constant, where there is one, comes before those of the bonds, for every kind of bonds and key in turn;
    that of all atoms comes first.
    """
    out = [CONSTANT * weights.sum(axis=0, keepdims=True)[: int(has_intercept(problem))]]
    for kind, key in terms_of(kernel, problem):
        own = kernel.basis_.sets[kind]
        rest = spread(problem, key, own, n_units(kernel, problem, kernel.basis_)).T @ weights
        constant = [CONSTANT * rest.sum(axis=0, keepdims=True)] if has_constant(problem, key) else []
        is_like = isinstance(problem, PairProblem) and problem.eta
        out += [*constant, rest * 2**0.5 if is_like else rest]
    return np.concatenate(out)
