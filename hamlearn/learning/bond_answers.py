"""Predictions in the frames of bonds: all products of a kind of bonds at once, weights folded in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hamlearn.features.bond_frame import BondVariables
from hamlearn.features.bond_rows import BondRows, Bonds, BondTile
from hamlearn.learning.bond_problems import PairProblem, Problem
from hamlearn.learning.groups import Group
from hamlearn.o3.monomials import Key
from hamlearn.structures.families import Family
from hamlearn.types import FloatArray, IntArray


@dataclass
class _Columns:
    """Answers of one kind of bonds: what is summed over products, and where it goes.

    Attributes:
        weights: of every key [feature, target], a list of columns each.
        constants: added to every target of a key.
        eta: sign of the answers seen from the other end, of every target of a key.
        wanted: of every group and component M = -L ... L the key, first target, part (0 real, 1 imaginary) and sign.
    """

    weights: dict[Key, list[FloatArray]] = field(default_factory=dict)
    constants: dict[Key, list[FloatArray]] = field(default_factory=dict)
    eta: dict[Key, list[FloatArray]] = field(default_factory=dict)
    wanted: dict[Group, dict[int, tuple[Key, int, int, int]]] = field(default_factory=dict)

    def add(self, key: Key, weights: FloatArray, has_constant: bool, eta: int = 0) -> int:
        """Take in columns; return where they begin."""
        start = sum(w.shape[1] for w in self.weights.setdefault(key, []))
        n = weights.shape[1]
        self.weights[key].append(weights[1:] if has_constant else weights)
        self.constants.setdefault(key, []).append(weights[0] if has_constant else np.zeros(n))
        self.eta.setdefault(key, []).append(np.full(n, float(eta)))
        return start

    def want(self, group: Group, key: Key, start: int) -> None:
        """Note that the components of a group of one |M| begin at a column; see `components_of`."""
        own, (M, _) = self.wanted.setdefault(group, {}), key
        if M == 0:
            own[0] = key, start, 0, 1
        elif group.sigma == 1:
            own[M], own[-M] = (key, start, 0, 1), (key, start, 1, 1)
        else:
            own[M], own[-M] = (key, start, 1, 1), (key, start, 0, -1)


class _KindAnswers:
    """What all fitted problems say of one kind of bonds.

    Args:
        columns: what is summed.
        frame: fitted.
        kind: of bonds.
        n_targets: of every group.
    """

    def __init__(self, columns: _Columns, frame: BondVariables, kind: Bonds, n_targets: Mapping[Group, int]) -> None:
        self._variables = frame.contractions_[kind]
        weights = {key: np.hstack(parts) for key, parts in columns.weights.items()}
        self._sums = frame.sums(kind, weights)
        self._keys = list(weights)
        first: dict[Key, tuple[int, int]] = {}
        total = 0
        for key in self._keys:
            n = weights[key].shape[1]
            first[key] = total, total + n
            total += 2 * n if key[0] else n
        self._constants = self._spread(columns.constants)
        self._eta = self._spread(columns.eta) if kind.is_like else None
        self.by_L: dict[int, tuple[list[Group], slice]] = {}
        every_place: list[IntArray] = []
        every_sign: list[FloatArray] = []
        n_before = 0
        for L in sorted({group.L for group in columns.wanted}):
            groups = [group for group in columns.wanted if group.L == L]
            places, signs = [], []
            for M in range(-L, L + 1):
                for group in groups:
                    key, start, part, sign = columns.wanted[group][M]
                    places.append(first[key][part] + start + np.arange(n_targets[group]))
                    signs.append(np.full(n_targets[group], float(sign)))
            every_place += places
            every_sign += signs
            n_own = sum(map(len, places))
            self.by_L[L], n_before = (groups, slice(n_before, n_before + n_own)), n_before + n_own
        self._places = torch.from_numpy(np.concatenate(every_place))
        self._signs = torch.from_numpy(np.concatenate(every_sign))[:, None]

    def __call__(self, rows: BondRows) -> dict[int, Tensor]:
        """Return what the bonds add to blocks in the laboratory, by L, groups side by side [row, 2L+1, target]."""
        total = self._flat(rows)
        every = total[self._places] * self._signs.to(total)
        out = {}
        for L, (_, own) in self.by_L.items():
            components = every[own].unflatten(0, (2 * L + 1, -1)).permute(2, 0, 1)  # [row, M, target]
            out[L] = rows.rotations[L].to(total).transpose(1, 2) @ components if L else components
        return out

    def _flat(self, rows: BondRows) -> Tensor:
        """Return the answers of all keys, real parts before imaginary ones [part, row]."""
        components = self._variables.components(rows)
        if self._eta is not None:  # both ends in one call
            components = torch.cat([components, self._variables.components(rows, exchanged=True)], dim=1)
        found = self._sums(components)
        parts = [(x.real, x.imag) if x.is_complex() else (x,) for x in (found[key] for key in self._keys)]
        total = torch.cat([part for both in parts for part in both])
        if self._eta is not None:
            own, other = total[:, : len(rows)], total[:, len(rows) :]
            total = (own + self._eta.to(total) * other) * 2**-0.5
        return (total + self._constants.to(total)) * rows.weight.to(total)

    def _spread(self, values: Mapping[Key, Sequence[FloatArray]]) -> Tensor:
        """Return numbers of every target as one column of the parts of all keys."""
        own = [np.tile(np.concatenate(values[key]), 1 + (key[0] > 0)) for key in self._keys]
        return torch.from_numpy(np.concatenate(own))[:, None]


class BondAnswers:
    """What fitted problems say of new bonds; every monomial is made once for all groups of blocks.

    Args:
        frame: fitted.
        problems: what was fitted together.
        weights: of every problem [feature, target].
        n_targets: of every group.
    """

    def __init__(
        self,
        frame: BondVariables,
        problems: Sequence[Problem],
        weights: Sequence[FloatArray],
        n_targets: Mapping[Group, int],
    ) -> None:
        self._n_targets = dict(n_targets)
        self._intercepts: dict[Group, Tensor] = {}
        columns: dict[Bonds, _Columns] = {}
        for problem, w in zip(problems, weights, strict=True):
            if isinstance(problem, PairProblem):
                if problem.is_seen(frame):
                    own = columns.setdefault(problem.kind, _Columns())
                    start = own.add(problem.key, w, problem.has_constant, problem.eta)
                    for group in problem.groups:
                        own.want(group, problem.key, start)
                        start += n_targets[group]
                continue
            first = int(problem.has_intercept)
            if first and len(w):
                self._intercepts[problem.group] = torch.from_numpy(w[0])
            for kind in frame.neighbours(problem.group.family.species_i):
                for key in problem.keys:
                    last = first + frame.n_products(kind, key) + (key == (0, 1))
                    own = columns.setdefault(kind, _Columns())
                    own.want(problem.group, key, own.add(key, w[first:last], key == (0, 1)))
                    first = last
        self._kinds = {kind: _KindAnswers(own, frame, kind, n_targets) for kind, own in columns.items()}

    def blocks(self, tile: BondTile, numbers: Sequence[IntArray]) -> dict[Group, Tensor]:
        """Return the blocks of every group, without offsets [sample, 2L+1, target].

        Args:
            tile: bonds of some structures.
            numbers: atomic numbers of the structures.
        """
        like, counts = tile.samples.positions, _Counts(numbers)
        sums: dict[tuple[Group, ...], Tensor] = {}
        for kind, rows in tile.rows.items():
            if not len(rows) or kind not in self._kinds:
                continue
            sample = torch.from_numpy(rows.sample)
            for L, values in self._kinds[kind](rows).items():
                name = tuple(self._kinds[kind].by_L[L][0])
                if name not in sums:
                    sums[name] = like.new_zeros((counts.of(name[0].family), *values.shape[1:]))
                sums[name] = sums[name].index_add(0, sample, values)
        out: dict[Group, Tensor] = {}
        for groups, values in sums.items():
            sizes = [self._n_targets[group] for group in groups]
            out |= dict(zip(groups, values.split(sizes, dim=2), strict=True))
        for group, n in self._n_targets.items():
            if group not in out:
                out[group] = like.new_zeros((counts.of(group.family), group.width, n))
        for group, intercept in self._intercepts.items():
            out[group] = out[group] + intercept.to(like)
        return {group: out[group] for group in self._n_targets}


@dataclass(frozen=True)
class _Counts:
    """Numbers of samples of families.

    Attributes:
        numbers: atomic numbers of the structures.
    """

    numbers: Sequence[IntArray]

    def of(self, family: Family) -> int:
        """Return how many samples a family has."""
        n_i, n_j = self._of(family.species_i), self._of(family.species_j)
        if family.kind == "on_site":
            return int(n_i.sum())
        return int((n_i * n_j).sum() if family.kind == "cross" else (n_i * (n_i - 1) // 2).sum())

    def _of(self, z: int) -> IntArray:
        return self._table.get(z, np.zeros(len(self.numbers), dtype=np.int64))

    @cached_property
    def _table(self) -> dict[int, IntArray]:
        sizes = [len(z) for z in self.numbers]
        species = np.concatenate([np.zeros(0, dtype=np.int64), *self.numbers])
        owner = np.repeat(np.arange(len(sizes)), sizes)
        return {int(z): np.bincount(owner[species == z], minlength=len(sizes)) for z in np.unique(species)}
