"""Predictions in the frames of bonds: all products of a kind of bonds at once, weights folded in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor

from hamlearn.features.bond_frame import BondVariables, Sums
from hamlearn.features.bond_rows import BondRows, Bonds, BondTile
from hamlearn.learning.bond_problems import PairProblem, Problem
from hamlearn.learning.groups import Group
from hamlearn.o3.bonds import TurnedBlocks
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


@dataclass(frozen=True)
class _Slot:
    """Groups whose blocks have the same samples and L; their targets are side by side.

    Attributes:
        family: whose samples they are; plus stands for minus.
        L: of all.
        sizes: numbers of targets of all groups.
    """

    family: Family
    L: int
    sizes: dict[Group, int]

    @classmethod
    def all(cls, n_targets: Mapping[Group, int]) -> list[_Slot]:
        """Return the slots of some groups."""
        out: dict[tuple[Family, int], _Slot] = {}
        for group, n in n_targets.items():
            family = group.family
            family = replace(family, kind="plus") if family.kind == "minus" else family
            out.setdefault((family, group.L), cls(family, group.L, {})).sizes[group] = n
        return list(out.values())

    @cached_property
    def size(self) -> int:
        """Number of targets."""
        return sum(self.sizes.values())

    @cached_property
    def columns(self) -> dict[Group, slice]:
        """Where the targets of every group are."""
        ends = np.cumsum([0, *self.sizes.values()]).tolist()
        return {group: slice(*both) for group, both in zip(self.sizes, pairwise(ends), strict=True)}


class _KindAnswers:
    """What all fitted problems say of one kind of bonds.

    Args:
        columns: what is summed.
        frame: fitted.
        kind: of bonds.
        slots: of all blocks.
    """

    def __init__(self, columns: _Columns, frame: BondVariables, kind: Bonds, slots: Sequence[_Slot]) -> None:
        self._variables = frame.contractions_[kind]
        weights = {key: np.hstack(parts) for key, parts in columns.weights.items()}
        self.sums = frame.sums(kind, weights)
        self._keys = list(weights)
        first: dict[Key, tuple[int, int]] = {}
        total = 0
        for key in self._keys:
            n = weights[key].shape[1]
            first[key] = total, total + n
            total += 2 * n if key[0] else n
        constants = self._spread(columns.constants)
        eta = self._spread(columns.eta) if kind.is_like else None
        places: list[IntArray] = []
        signs: list[FloatArray] = []
        self._slots = np.array([k for k, slot in enumerate(slots) if slot.family == kind.family])
        own = [slots[k] for k in self._slots]
        for slot in own:
            for M, (group, n) in product(range(-slot.L, slot.L + 1), slot.sizes.items()):
                key, start, part, sign = columns.wanted[group][M]
                places.append(first[key][part] + start + np.arange(n))
                signs.append(np.full(n, float(sign)))
        self._sizes = {slot.L: slot.size for slot in own}
        table = np.concatenate(places), np.concatenate(signs)
        self._compiled = TurnedBlocks(constants, eta, self._sizes, *table)
        self._places, self._signs = (torch.from_numpy(x) for x in table)
        self._constants = torch.from_numpy(constants)[:, None]
        self._eta = None if eta is None else torch.from_numpy(eta)[:, None]

    def add(self, rows: BondRows, out: Tensor, offsets: IntArray) -> None:
        """Add what the bonds say to blocks in the laboratory.

        Args:
            rows: of this kind.
            out: blocks of all slots, [sample, 2L+1, target] flattened.
            offsets: where those of every slot begin, and the last one ends.
        """
        sums = self.sums.rows(self._variables.components(rows, "i" if self._eta is None else "both"))
        if rows.frames.are_plain:
            self._compiled.add(sums, rows.frames, rows.own, out, offsets[self._slots])
            return
        every = self._total(sums, rows)[self._places] * self._signs.to(sums)[:, None]
        sample = torch.from_numpy(rows.sample).to(sums.device)
        parts = every.split([(2 * L + 1) * n for L, n in self._sizes.items()])
        for slot, L, own in zip(self._slots, self._sizes, parts, strict=True):
            components = own.unflatten(0, (2 * L + 1, -1)).permute(2, 0, 1)  # [row, M, target]
            turned = rows.rotations[L].to(sums).transpose(1, 2) @ components if L else components
            blocks = out[int(offsets[slot]) : int(offsets[slot + 1])].view(-1, *turned.shape[1:])
            blocks.index_add_(0, sample, turned)

    def _total(self, sums: Tensor, rows: BondRows) -> Tensor:
        """Return the answers of all keys, real parts before imaginary ones [part, row]."""
        if self._eta is not None:
            own, other = sums[:, : len(rows)], sums[:, len(rows) :]
            sums = (own + self._eta.to(sums) * other) * 2**-0.5
        return (sums + self._constants.to(sums)) * rows.weight.to(sums)

    def _spread(self, values: Mapping[Key, Sequence[FloatArray]]) -> FloatArray:
        """Return numbers of every target for the parts of all keys [part]."""
        return np.concatenate([np.tile(np.concatenate(values[key]), 1 + (key[0] > 0)) for key in self._keys])


class BondAnswers:
    """What fitted problems say of new bonds; every monomial is made once for all groups of blocks.

    Args:
        frame: fitted.
        problems: what was fitted together.
        weights: of every problem [feature, target].
        offsets: what is added to the targets of every group [target].
    """

    def __init__(
        self,
        frame: BondVariables,
        problems: Sequence[Problem],
        weights: Sequence[FloatArray],
        offsets: Mapping[Group, FloatArray],
    ) -> None:
        n_targets = {group: len(offset) for group, offset in offsets.items()}
        constants = dict(offsets)
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
                constants[problem.group] = constants[problem.group] + w[0]
            for kind in frame.neighbours(problem.group.family.species_i):
                for key in problem.keys:
                    last = first + frame.n_products(kind, key) + (key == (0, 1))
                    own = columns.setdefault(kind, _Columns())
                    own.want(problem.group, key, own.add(key, w[first:last], key == (0, 1)))
                    first = last
        self._groups, self._slots = list(offsets), _Slot.all(n_targets)
        self._constants = [np.concatenate([constants[group] for group in slot.sizes]) for slot in self._slots]
        self._kinds = {kind: _KindAnswers(own, frame, kind, self._slots) for kind, own in columns.items()}

    def sums(self) -> dict[Bonds, Sums]:
        """Return the sums over products that answers are made of, of every kind of bonds."""
        return {kind: own.sums for kind, own in self._kinds.items()}

    def rows(self, tile: BondTile, numbers: Sequence[IntArray]) -> dict[Group, FloatArray]:
        """Return the blocks of every group [row, target].

        Args:
            tile: bonds of some structures.
            numbers: atomic numbers of the structures.
        """
        counts, slots = _Counts(numbers), self._slots
        ends = np.cumsum([0, *(counts.of(slot.family) * (2 * slot.L + 1) * slot.size for slot in slots)])
        flat = tile.samples.positions.new_zeros(int(ends[-1]))
        for kind, rows in tile.rows.items():
            if len(rows) and kind in self._kinds:
                self._kinds[kind].add(rows, flat, ends)
        every, out = flat.cpu().numpy(), dict[Group, FloatArray]()
        for slot, (first, last), constants in zip(slots, pairwise(ends.tolist()), self._constants, strict=True):
            blocks = every[first:last].reshape(-1, slot.size) + constants
            for group, own in slot.columns.items():
                out[group] = blocks[:, own]
        return {group: out[group] for group in self._groups}


class _Counts:
    """Numbers of samples of families in some structures.

    Args:
        numbers: atomic numbers of the structures.
    """

    def __init__(self, numbers: Sequence[IntArray]) -> None:
        sizes = [len(z) for z in numbers]
        elements, column = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *numbers]), return_inverse=True)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        each = np.bincount(owner * len(elements) + column, minlength=len(sizes) * len(elements))
        each = each.reshape(len(sizes), len(elements))
        self._place = {z: k for k, z in enumerate(elements.tolist())}
        self._atoms, self._pairs = each.sum(axis=0).tolist(), (each.T @ each).tolist()

    def of(self, family: Family) -> int:
        """Return how many samples a family has."""
        i, j = (self._place.get(z) for z in (family.species_i, family.species_j))
        if i is None or j is None:
            return 0
        if family.kind == "on_site":
            return self._atoms[i]
        return self._pairs[i][j] if family.kind == "cross" else (self._pairs[i][i] - self._atoms[i]) // 2
