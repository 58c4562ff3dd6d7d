"""Densities of Gaussians with growing widths: overlaps against quadrature, expansion against overlaps, derivatives."""

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.legendre import leggauss, legval
from scipy.special import spherical_in

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.config import KernelSettings
from hamlearn.density import DensityExpansion
from hamlearn.density.gaussian_overlap import neighbour_width, radial_overlap
from hamlearn.density.radial import radial_functions
from hamlearn.errors import DomainError
from hamlearn.structures.samples import Samples
from hamlearn.structures.transforms import random_rotation
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SYMMETRIC = TOLERANCE["float64"]["equivariance"]


def molecules(n=6, seed=0):
    rng = np.random.default_rng(seed)
    base = np.array([[0, 0, 0.0], [0.76, 0, 0.59], [-0.76, 0, 0.59], [0, 1.3, -0.4]])
    return [Atoms("OHHC", base + rng.normal(scale=0.08, size=base.shape)) for _ in range(n)]


def test_overlap_of_two_gaussians_by_quadrature():
    """kappa_l is the l-th Legendre moment of the overlap of two normalised Gaussians at an angle."""
    r, s = np.array([0.9, 1.7]), np.array([0.25, 0.4])
    x, w = leggauss(120)
    width = s[0] ** 2 + s[1] ** 2
    distance2 = r[0] ** 2 + r[1] ** 2 - 2 * r[0] * r[1] * x
    overlap = (2 * np.pi * width) ** -1.5 * np.exp(-distance2 / (2 * width))
    kappa = radial_overlap(r[0], r[1], s[0], s[1], 5)
    for l in range(6):
        moment = 2 * np.pi * (w * overlap * legval(x, np.eye(6)[l])).sum()
        assert abs(kappa[l] - moment) < 1e-11 * kappa[0]


def test_overlap_is_the_formula_with_plain_bessel_functions():
    r, r2, s, s2 = 0.8, 1.1, 0.5, 0.6
    a = 1 / (s**2 + s2**2)
    plain = 4 * np.pi * (a / 2 / np.pi) ** 1.5 * np.exp(-a * (r**2 + r2**2) / 2) * spherical_in(range(4), a * r * r2)
    np.testing.assert_allclose(radial_overlap(r, r2, s, s2, 3), plain, rtol=EXACT)


@pytest.mark.parametrize(("smearing", "growth", "cutoff"), [(0.03, 1.0, 5.0), (0.1, 2.0, 5.0), (0.3, None, 4.0)])
def test_radial_functions_reproduce_the_overlap(smearing, growth, cutoff):
    chosen = KernelSettings(
        smearing_angstrom=smearing, smearing_growth_angstrom=growth, cutoff_angstrom=cutoff, decay_angstrom=2.0
    )
    r = np.random.default_rng(0).uniform(0.6, cutoff - 0.6, 40)
    width = neighbour_width(r, smearing, growth)
    exact = radial_overlap(r[:, None], r, width[:, None], width, 3) * np.exp(-(r[:, None] + r) / 2)[..., None]
    values = radial_functions(chosen)(torch.from_numpy(r)).numpy()
    norm = np.sqrt(np.einsum("ppl->pl", exact))
    error = np.abs(np.einsum("pln,qln->pql", values, values) - exact) / norm[:, None] / norm
    assert error.max() < 1e-5


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.booleans())
def test_densities_are_equivariant(seed, improper):
    atoms = molecules(1, seed)[0]
    expansion = DensityExpansion(KernelSettings(max_l=4)).fit([Samples.of(molecules())])
    rotation = random_rotation(np.random.default_rng(seed)) * (-1 if improper else 1)
    turned = atoms.copy()
    turned.positions = (atoms.positions @ rotation.T) + [1.0, -2.0, 0.5]
    d = torch.from_numpy(np.array(_block_diagonal(real_wigner_d(rotation, 4))))
    for z, c in expansion.densities(Samples.of([atoms])).items():
        rotated = expansion.densities(Samples.of([turned]))[z]
        torch.testing.assert_close(rotated, torch.einsum("kl,ilq->ikq", d, c), atol=SYMMETRIC, rtol=0)


def _block_diagonal(blocks):
    n = sum(map(len, blocks))
    out, first = np.zeros((n, n)), 0
    for block in blocks:
        out[first : first + len(block), first : first + len(block)] = block
        first += len(block)
    return out


def test_gradients_against_finite_differences():
    chosen = KernelSettings(cutoff_angstrom=2.2, decay_angstrom=1.5)
    expansion = DensityExpansion(chosen).fit([Samples.of(molecules())])
    atoms, h = molecules(1, 3)[0], 1e-5
    gradients = expansion.gradients(Samples.of([atoms]))
    for atom in range(len(atoms)):
        moved = []
        for sign in (1, -1):
            other = atoms.copy()
            other.positions[atom, 1] += sign * h
            moved.append(expansion.densities(Samples.of([other])))
        for z, g in gradients.items():
            expected = torch.zeros_like(moved[0][z])
            for row, centre, neighbour, value in zip(g.row, g.centre, g.neighbour, g.values[:, 1], strict=True):
                expected[row] += (float(neighbour == atom) - float(centre == atom)) * value
            torch.testing.assert_close((moved[0][z] - moved[1][z]) / (2 * h), expected, atol=1e-6, rtol=1e-6)


def test_few_channels_are_the_leading_ones():
    batch = [Samples.of(molecules())]
    full, few = (DensityExpansion(KernelSettings(max_channels=n)).fit(batch).densities(batch[0]) for n in (64, 5))
    for z, c in few.items():
        assert c.shape[2] == 5
        lost = 1 - float((c**2).sum() / (full[z] ** 2).sum())
        assert 0 <= lost < 0.05


def test_mean_squared_norm_is_one():
    batch = Samples.of(molecules())
    densities = DensityExpansion(KernelSettings(max_channels=256)).fit([batch]).densities(batch)
    norm = sum(float((c**2).sum()) for c in densities.values()) / len(batch.species)
    assert abs(norm - 1) < 1e-6


def test_unknown_element_is_refused():
    expansion = DensityExpansion(KernelSettings()).fit([Samples.of(molecules())])
    with pytest.raises(DomainError, match="not in the training set"):
        expansion.densities(Samples.of([Atoms("NHHH", np.eye(4, 3) * 1.1)]))
