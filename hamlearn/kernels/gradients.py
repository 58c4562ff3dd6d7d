"""Kernels of energies and their derivatives with respect to positions, summed over the atoms of structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import KernelSettings
from hamlearn.density import Gradients
from hamlearn.errors import ConfigError
from hamlearn.kernels.derivatives import Mixture, contract_each, contract_right, mixture_of, slope_derivative
from hamlearn.kernels.environments import Environments, largest_tile, tiles
from hamlearn.kernels.parts import invariant_parts
from hamlearn.kernels.wigner import density_kernel
from hamlearn.o3.layout import component_slice, n_components
from hamlearn.types import FloatArray, IntArray


@dataclass(frozen=True)
class Moves:
    """Derivatives of the densities of one species with respect to the atoms they depend on, the centre last.

    Attributes:
        atom: flat index of every atom that moves an environment, padded with the centre [environment, neighbour].
        values: [environment, neighbour, 3, lm, q], zero where padded.
    """

    atom: Tensor
    values: Tensor

    @classmethod
    def of(cls, gradients: Gradients, n: int) -> Moves:
        """Arrange the gradients of the n environments of one species; what has no neighbour moves with any atom."""
        row = gradients.row
        centres = np.zeros(n, dtype=np.int64)
        centres[row] = gradients.centre
        count = np.bincount(row, minlength=n)
        position = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        width = int(count.max(initial=0))
        values = gradients.values.new_zeros((n, width + 1, *gradients.values.shape[1:]))
        values[row, position] = gradients.values
        values[:, -1] = -values[:, :-1].sum(1)
        atom = np.repeat(centres[:, None], width + 1, axis=1)
        atom[row, position] = gradients.neighbour
        return cls(torch.from_numpy(atom), values)

    def rows(self, chosen: slice) -> Moves:
        """Return some of the environments."""
        return Moves(self.atom[chosen], self.values[chosen])

    def targets(self, structure: IntArray, n_structures: int) -> IntArray:
        """Return the rows (energies, then moves) each environment adds to [environment, 1 + 3 neighbours]."""
        moves = n_structures + 3 * self.atom.numpy()[:, :, None] + np.arange(3)
        return np.concatenate([structure[:, None], moves.reshape(len(structure), -1)], axis=1)


def gradient_rows(
    settings: KernelSettings,
    a: Environments,
    active: Environments,
    weights: Sequence[float],
    memory_gb: float = 4.0,
) -> tuple[FloatArray, FloatArray]:
    """Return sum_{i in A} F(i, j) [A, active] and its derivatives with respect to positions [3 n_atoms, active].

    Args:
        settings: kernel, kind wigner or order.
        a: environments with gradients; row 3 k + x of the derivatives belongs to atom k.
        active: environments of the basis, columns by species, then row.
        weights: of the parts.
        memory_gb: bound on tiles; the results themselves are not counted.

    Gradients rotate as vectors, those of one structure add up to zero.
    """
    energies = torch.zeros((a.n_structures, len(active)), dtype=torch.float64)
    forces = torch.zeros((len(a), 3, len(active)), dtype=torch.float64)
    where = active.slices()
    all_moves = _moves(a)
    for z, own in where.items():
        energies[:, own] = weights[0] * _atoms_of(z, a)[:, None]
    width = max((3 * m.atom.shape[1] for m in all_moves.values()), default=0)
    largest = _largest_tile(settings, memory_gb, 8 * (width + 3 * _numbers_per_density(a)))
    for z, rows, columns, k1 in tiles(a, active, settings.max_l, largest):
        mixture, moves = mixture_of(k1, settings, weights), all_moves[z].rows(rows)
        column = slice(where[z].start + columns.start, where[z].start + columns.stop)
        structure = torch.from_numpy(a.structure[z][rows])
        energies[:, column].index_add_(0, structure, mixture.value)
        pull = contract_each(mixture.slope, active.densities[z][columns], settings.max_l)  # [j, i, lm, q]
        pull = pull.permute(1, 2, 3, 0).flatten(1, 2)  # [i, lm q, j]
        change = moves.values.flatten(3).flatten(1, 2) @ pull  # [i, neighbour 3, j]
        forces[:, :, column].index_add_(0, moves.atom.flatten(), change.view(-1, 3, change.shape[2]))
    return energies.numpy(), forces.flatten(0, 1).numpy()


def derivative_between(
    settings: KernelSettings, a: Environments, b: Environments, weights: Sequence[float], memory_gb: float = 4.0
) -> FloatArray:
    """Return [[K, dK/dr'], [dK/dr, d2K/dr dr']] of summed mixtures [A + 3 n_atoms, B + 3 n_atoms'].

    Args:
        settings: kernel, kind wigner or order.
        a: environments with gradients.
        b: environments with gradients; the same object as ``a`` for the symmetric matrix.
        weights: of the parts.
        memory_gb: bound on tiles; the result itself is not counted.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024); Chmiela et al., Sci. Adv. 3, e1603015 (2017).
    """
    n_a, n_b = a.n_structures, b.n_structures
    out = torch.zeros((n_a + 3 * len(a), n_b + 3 * len(b)), dtype=torch.float64)
    for z in a.species:
        out[:n_a, :n_b] += weights[0] * torch.outer(_atoms_of(z, a), _atoms_of(z, b))
    all_left = _moves(a)
    all_right = all_left if a is b else _moves(b)
    width = max((3 * m.atom.shape[1] for m in all_left.values()), default=0)
    per_pair = 8 * width * (_numbers_per_density(a) + 3 * settings.max_nu * n_components(settings.max_l))
    largest = _largest_tile(settings, memory_gb, per_pair)
    for z, rows, columns, k1 in tiles(a, b, settings.max_l, largest, upper=a is b):
        mixture, left, right = mixture_of(k1, settings, weights), all_left[z].rows(rows), all_right[z].rows(columns)
        at_left = left.targets(a.structure[z][rows], n_a)
        at_right = right.targets(b.structure[z][columns], n_b)
        block = _pair_blocks(settings, a.densities[z][rows], b.densities[z][columns], left, right, mixture)
        _add_blocks(out, block, at_left, at_right)
        if a is b and rows != columns:
            _add_blocks(out, block.permute(1, 0, 3, 2), at_right, at_left)
    return out.numpy()


def energies_and_gradients(
    settings: KernelSettings,
    a: Environments,
    basis: Environments,
    coefficients: Mapping[int, Tensor],
    directions: Mapping[int, Tensor] | None,
    weights: Sequence[float],
    memory_gb: float = 4.0,
) -> tuple[FloatArray, FloatArray | None]:
    """Return E = sum_ij (x_j + delta c_j . d/dc_j) F(i, j) [A] and dE/dr [n_atoms, 3], None if ``a`` has no gradients.

    The sum over the basis is done before the derivatives of the densities come in, so that the cost per pair does not
    grow with the number of neighbours.

    Args:
        settings: kernel, kind wigner or order.
        a: environments.
        basis: environments of the basis.
        coefficients: x_j by species [j].
        directions: change of density delta c_j by species [j, lm, q], see :func:`directions_of`; None for none.
        weights: of the parts.
        memory_gb: bound on tiles.
    """
    energy = torch.zeros(a.n_structures, dtype=torch.float64)
    for z, x in coefficients.items():
        energy += weights[0] * x.sum() * _atoms_of(z, a)
    pulls = {z: torch.zeros_like(c) for z, c in a.densities.items()}
    max_l = settings.max_l
    for z, rows, columns, k1 in tiles(a, basis, max_l, _largest_tile(settings, memory_gb)):
        x, c_i, c_j = coefficients[z][columns], a.densities[z][rows], basis.densities[z][columns]
        structure = torch.from_numpy(a.structure[z][rows])
        if a.gradients is None and directions is None:
            orders = torch.tensor(weights[1:], dtype=x.dtype)
            energy.index_add_(0, structure, torch.tensordot(orders, invariant_parts(k1, settings)[1:], 1) @ x)
            continue
        mixture = mixture_of(k1, settings, weights)
        value, slope = mixture.value @ x, mixture.slope
        pull = slope * x
        if directions is not None:
            change = directions[z][columns]
            t = density_kernel(c_i, change, max_l).values[0]
            value = value + (slope * t).sum((0, 2))
            if a.gradients is not None:
                pull = pull + slope_derivative(mixture, t[..., None])[..., 0]
                pulls[z][rows] += contract_right(slope, change, max_l)
        energy.index_add_(0, structure, value)
        if a.gradients is not None:
            pulls[z][rows] += contract_right(pull, c_j, max_l)
    if a.gradients is None:
        return energy.numpy(), None
    gradient = torch.zeros((len(a), 3), dtype=torch.float64)
    for z, g in a.gradients.items():
        change = torch.einsum("pxlq,plq->px", g.values, pulls[z][torch.from_numpy(g.row)])
        gradient.index_add_(0, torch.from_numpy(g.neighbour), change)
        gradient.index_add_(0, torch.from_numpy(g.centre), -change)
    return energy.numpy(), gradient.numpy()


def directions_of(basis: Environments, coefficients: FloatArray) -> dict[int, Tensor]:
    """Return delta c_j = sum_r x_r dc_j/dr by species [j, lm, q], for coefficients x of all positions [3 n_atoms]."""
    x = torch.from_numpy(np.asarray(coefficients, dtype=np.float64)).view(-1, 3)
    out = {}
    if basis.gradients is None:
        raise ConfigError("these environments have no gradients; make them with gradients=True")
    for z, g in basis.gradients.items():
        relative = x[torch.from_numpy(g.neighbour)] - x[torch.from_numpy(g.centre)]
        change = torch.einsum("px,pxlq->plq", relative, g.values)
        out[z] = torch.zeros_like(basis.densities[z]).index_add_(0, torch.from_numpy(g.row), change)
    return out


def _largest_tile(settings: KernelSettings, memory_gb: float, bytes_per_pair: int = 0) -> int:
    """Return how many pairs of environments are held at once: the powers of their kernel, and what else is told."""
    return largest_tile(bytes_per_pair + 8 * n_components(settings.max_l) * 3 * settings.max_nu, memory_gb)


def _moves(a: Environments) -> dict[int, Moves]:
    """Return the moves of every species."""
    if a.gradients is None:
        raise ConfigError("these environments have no gradients; make them with gradients=True")
    return {z: Moves.of(g, a.count(z)) for z, g in a.gradients.items()}


def _atoms_of(z: int, a: Environments) -> Tensor:
    """Return how many atoms of one species each structure has [A]."""
    of_species = a.structure.get(z, np.zeros(0, dtype=np.int64))
    return torch.from_numpy(np.bincount(of_species, minlength=a.n_structures)).to(torch.float64)


def _numbers_per_density(a: Environments) -> int:
    return max((c[0].numel() for c in a.densities.values() if len(c)), default=1)


def _pair_blocks(
    settings: KernelSettings, c_i: Tensor, c_j: Tensor, left: Moves, right: Moves, mixture: Mixture
) -> Tensor:
    """Return value and derivatives of every pair [i, j, 1 + moves of i, 1 + moves of j]."""
    max_l = settings.max_l
    d_i, d_j = left.values.flatten(1, 2), right.values.flatten(1, 2)  # [i, move, lm, q]
    n_i, n_j, w_i, w_j = len(c_i), len(c_j), d_i.shape[1], d_j.shape[1]
    t_i = density_kernel(d_i.flatten(0, 1), c_j, max_l).values[0].view(-1, n_i, w_i, n_j).transpose(2, 3).contiguous()
    t_j = density_kernel(c_i, d_j.flatten(0, 1), max_l).values[0].view(-1, n_i, n_j, w_j)
    out = c_i.new_empty((n_i, n_j, 1 + w_i, 1 + w_j))
    out[..., 0, 0] = mixture.value
    out[..., 1:, 0] = torch.einsum("cij,cija->ija", mixture.slope, t_i)
    out[..., 0, 1:] = torch.einsum("cij,cijb->ijb", mixture.slope, t_j)
    bent = slope_derivative(mixture, t_i)
    total = bent.permute(1, 2, 3, 0) @ t_j.permute(1, 2, 0, 3)  # [i, j, move, move']
    for l in range(max_l + 1):
        m, rows = 2 * l + 1, slice(l * l, (l + 1) ** 2)
        slope = mixture.slope[component_slice(l)].unflatten(0, (m, m)).permute(2, 3, 1, 0)  # [i, j, m', m]
        pulled = slope.flatten(1, 2) @ d_i[:, :, rows].permute(0, 2, 1, 3).flatten(2)  # [i, j m', move q]
        pulled = pulled.view(n_i, n_j, m, w_i, -1).permute(1, 0, 3, 2, 4).reshape(n_j, n_i * w_i, -1)
        pairs = pulled @ d_j[:, :, rows].flatten(2).transpose(1, 2)  # [j, i move, move']
        total += pairs.view(n_j, n_i, w_i, w_j).transpose(0, 1)
    out[..., 1:, 1:] = total
    return out


def _add_blocks(out: Tensor, block: Tensor, rows: IntArray, columns: IntArray) -> None:
    """Add block[i, j, x, y] to out[rows[i, x], columns[j, y]]."""
    wide = torch.zeros((block.shape[0] * block.shape[2], out.shape[1]), dtype=out.dtype)
    flat = block.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)  # [i x, j y]
    wide.index_add_(1, torch.from_numpy(columns.ravel()), flat)
    out.index_add_(0, torch.from_numpy(rows.ravel()), wide)
