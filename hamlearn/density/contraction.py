"""Contraction of radial functions to the few that carry the densities of a training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hamlearn.config import DensitySettings
from hamlearn.density.likeness import coupling_factor
from hamlearn.density.radial import RELATIVE_EIGENVALUE, RadialFunctions
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.types import IntArray, SpeciesPair

EQUAL = 1e-6
"""Components whose sizes differ by less, relatively, are equal: which of them is larger is rounding."""


def covariance_of(density: Tensor, max_l: int) -> Tensor:
    """Return sum over environments and m of c_nlm c_klm [l, n, k] of densities [atom, (max_l + 1)^2, n]."""
    by_l = [density[:, l * l : (l + 1) ** 2].flatten(0, 1) for l in range(max_l + 1)]
    return torch.stack([c.T @ c for c in by_l])


def leading(covariance: Tensor, n: int) -> Tensor:
    """Return the n leading eigenvectors of every l's covariance [l, primitive, n].

    Not centred: for l > 0 the mean vanishes by symmetry, and for l = 0 a density must stay a density. Signs are
    fixed, so that equal data give equal functions: the largest component is positive, the first of equal ones.

    Args:
        covariance: [l, primitive, primitive].
        n: number of functions kept.
    """
    vectors = torch.linalg.eigh(covariance)[1].flip(-1)[..., :n]
    size = vectors.abs()
    among_largest = size >= (1 - EQUAL) * size.amax(dim=-2, keepdim=True)
    deciding = vectors.gather(-2, among_largest.to(torch.uint8).argmax(dim=-2, keepdim=True))
    return (vectors * torch.where(deciding < 0, -1.0, 1.0)).contiguous()


def separate(
    means: Mapping[SpeciesPair, Tensor], group: Mapping[SpeciesPair, object], settings: DensitySettings
) -> dict[SpeciesPair, Tensor]:
    """Return contractions of every pair of species by itself [l, primitive, n].

    Args:
        means: covariances divided by the number of environments [l, primitive, primitive].
        group: pairs whose squared norms are scaled to add up to 1 on average.
        settings: number of functions; without ``optimal`` the primitives stay as they are.
    """
    if settings.is_optimal or settings.radial == "overlap":
        out = {pair: leading(mean, settings.n_radial) for pair, mean in means.items()}
    else:
        out = {pair: torch.eye(m.shape[-1], dtype=m.dtype).repeat(len(m), 1, 1) for pair, m in means.items()}
    norm: dict[object, float] = {}
    for pair, u in out.items():
        kept = torch.einsum("lkn,lkq,lqn->", u, means[pair], u)
        norm[group[pair]] = norm.get(group[pair], 0.0) + float(kept)
    return {pair: u / (norm[group[pair]] ** 0.5 or 1.0) for pair, u in out.items()}


def joint(
    covariances: Mapping[int, Tensor], n_atoms: int, species: Sequence[int], settings: DensitySettings
) -> tuple[dict[SpeciesPair, Tensor], float]:
    """Return contractions of neighbours of all species and their radial functions together, and their one scale.

    Args:
        covariances: by species of the centre [l, species x primitive, species x primitive].
        n_atoms: number of environments, whose mean squared norm is scaled to 1.
        species: of the neighbours, in order.
        settings: number of channels, likeness of elements.

    Returns:
        By (centre, neighbour) [l, primitive, channel], as many channels as the richest l needs; zero for neighbours
        that no centre has, unless they may be like others.
    """
    norm = sum(float(c.diagonal(dim1=1, dim2=2).sum()) for c in covariances.values()) / max(n_atoms, 1)
    scale = norm**-0.5 if norm > 0 else 1.0
    out = {}
    for z, total in covariances.items():
        coupling = coupled(species, settings, total.shape[-1] // len(species))
        of_archetypes = coupling @ total @ coupling.T
        value = torch.linalg.eigvalsh(of_archetypes)
        needed = int((value > RELATIVE_EIGENVALUE * value.max()).sum(dim=1).max())
        channels = coupling.T @ leading(of_archetypes, max(1, min(needed, settings.max_channels or needed))) * scale
        present = total.diagonal(dim1=1, dim2=2).unflatten(1, (len(species), -1)).sum(dim=(0, 2)) > 0
        for k, (a, block) in enumerate(zip(species, channels.chunk(len(species), dim=1), strict=True)):
            seen = present[k] or settings.element_likeness is not None
            out[z, a] = block.clone() if seen else torch.zeros_like(block)
    return out, scale


def coupled(species: Sequence[int], settings: DensitySettings, n: int) -> Tensor:
    """Return how alike elements are, for n radial functions each [archetype x n, species x n]."""
    factor = torch.from_numpy(coupling_factor(species, settings.element_likeness))
    return torch.kron(factor, torch.eye(n, dtype=factor.dtype))


def stacked(contraction: Mapping[SpeciesPair, Tensor]) -> dict[int, Tensor]:
    """Return joint contractions by species of the centre, neighbours below each other [l, species x primitive, q]."""
    centres, elements = ({pair[k] for pair in contraction} for k in (0, 1))
    return {z: torch.cat([contraction[z, a] for a in sorted(elements)], dim=1) for z in centres}


def pair_means(batches: Sequence[Samples], radial: RadialFunctions, max_l: int) -> dict[SpeciesPair, Tensor]:
    """Return mean covariances of g_ij within the pair cut-off, of all pairs of species in one molecule."""
    degeneracy = (2 * torch.arange(max_l + 1, dtype=torch.float64) + 1) / (4 * torch.pi)
    total: dict[SpeciesPair, Tensor] = {}
    count: dict[SpeciesPair, int] = {}
    for samples in batches:
        for pair in ((a, b) for a in samples.elements for b in samples.elements if a <= b):
            pairs = samples.family(Family("plus" if pair[0] == pair[1] else "cross", *pair))
            if len(pairs):
                r = torch.linalg.norm(samples.vectors(pairs), dim=1)
                c = torch.einsum("plk,plq->lkq", *[radial(r)] * 2) * degeneracy[:, None, None]
                total[pair] = total.get(pair, 0.0) + c
                count[pair] = count.get(pair, 0) + int((r < radial.settings.cutoff_angstrom).sum())
    return {pair: total[pair] / max(count[pair], 1) for pair in sorted(total)}


def summed(terms: Tensor, atom: IntArray, n_atoms: int, slot: IntArray, n_slots: int) -> Tensor:
    """Return the sum of the terms of all neighbours, slots side by side [atom, lm, slot x q].

    Args:
        terms: of every neighbour [pair, lm, q].
        atom: position of the centre [pair].
        n_atoms: number of centres.
        slot: block of channels of the neighbour [pair].
        n_slots: number of blocks.
    """
    place = torch.from_numpy(atom * n_slots + slot).to(terms.device)
    total = terms.new_zeros((n_atoms * n_slots, *terms.shape[1:])).index_add(0, place, terms)
    return total.unflatten(0, (n_atoms, n_slots)).transpose(1, 2).flatten(2)
