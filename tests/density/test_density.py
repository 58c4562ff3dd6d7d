import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma, ive

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.config import FeatureSettings, ScalingSettings
from hamlearn.density import DensityExpansion
from hamlearn.density.contraction import leading
from hamlearn.density.cutoff import radial_scaling, shifted_cosine
from hamlearn.density.gto import gto_integrals, gto_overlap, gto_widths, orthonormaliser
from hamlearn.density.radial import radial_functions
from hamlearn.errors import DomainError
from hamlearn.structures import permute, random_rotation, rotate, translate
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SMALL = FeatureSettings(max_l=4, max_n=3)


def gto_functions(x, s):
    """The orthonormalised Gaussian-type functions on a grid [x, n]."""
    k = np.arange(len(s))
    norm = np.sqrt(2 / (s ** (2 * k + 3) * gamma(k + 1.5)))
    return norm * x[:, None] ** k * np.exp(-(x[:, None] ** 2) / (2 * s**2)) @ orthonormaliser(s)


@pytest.mark.parametrize(("cutoff", "n", "atol"), [(3.5, 6, 1e-10), (6.0, 12, 1e-7)])
def test_radial_functions_are_orthonormal(cutoff, n, atol):
    s = gto_widths(cutoff, 0.5, n)
    x = np.linspace(0, 6 * cutoff, 40001)
    r = gto_functions(x, s)
    gram = np.trapezoid(x[:, None, None] ** 2 * r[:, :, None] * r[:, None, :], x, axis=0)
    np.testing.assert_allclose(gram, np.eye(n), atol=atol)
    np.testing.assert_allclose(np.diag(gto_overlap(s)), 1, atol=EXACT)


@pytest.mark.parametrize("l", [0, 1, 4, 8])
@pytest.mark.parametrize("r", [0.0, 0.02, 0.9, 3.4])
def test_integrals_against_quadrature(l, r):
    smearing, s = 0.3, gto_widths(3.5, 0.5, 8)
    x = np.linspace(0, 12, 200001)
    z = x * r / smearing**2
    safe = np.where(z > 0, z, 1)
    scaled_bessel = np.where(z > 0, np.sqrt(np.pi / (2 * safe)) * ive(l + 0.5, safe), float(l == 0))
    weight = np.exp(-((x - r) ** 2) / (2 * smearing**2)) * scaled_bessel
    expected = 4 * np.pi * np.trapezoid(x[:, None] ** 2 * gto_functions(x, s) * weight[:, None], x, axis=0)
    found = gto_integrals(np.array([r]), s, np.array([smearing]), 8)[0, l]
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_spline_follows_the_integrals():
    r = np.random.default_rng(0).uniform(0, 3.5, 300)
    weight = shifted_cosine(torch.from_numpy(r), 3.5, 0.5).numpy()[:, None, None]
    exact = weight * gto_integrals(r, gto_widths(3.5, 0.5, 12), np.full(300, 0.3), 8)
    found = radial_functions(FeatureSettings(max_l=8))(torch.from_numpy(r)).numpy()
    np.testing.assert_allclose(found, exact, atol=5e-9)


def test_cutoff_function():
    r = torch.tensor([0.0, 2.999, 3.25, 3.5, 9.0], dtype=torch.float64)
    np.testing.assert_allclose(shifted_cosine(r, 3.5, 0.5), [1, 1, 0.5, 0, 0], atol=EXACT)
    fine = torch.linspace(2.5, 4.0, 20001, dtype=torch.float64)
    slope = np.gradient(shifted_cosine(fine, 3.5, 0.5), fine)
    assert np.abs(np.diff(slope)).max() < 1e-2  # continuously differentiable


def test_radial_scaling():
    r = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    np.testing.assert_allclose(radial_scaling(r, None), 1)
    np.testing.assert_allclose(radial_scaling(r, ScalingSettings(rate=2, scale_angstrom=1, exponent=2)), 2 / (2 + r**2))
    np.testing.assert_allclose(radial_scaling(r, ScalingSettings(rate=0, scale_angstrom=2, exponent=3)), (r / 2) ** -3)
    np.testing.assert_allclose(radial_scaling(r, ScalingSettings(rate=2, scale_angstrom=1, exponent=0)), 1)


def test_density_against_a_loop(hydrogen_peroxide):
    """Primitive density of one atom, neighbour by neighbour."""
    plain = SMALL.model_copy(update={"optimal": False})
    expansion = DensityExpansion(plain, 6.0).fit([Samples.of([hydrogen_peroxide])])
    found = expansion.densities(Samples.of([hydrogen_peroxide]))[1][0]  # first hydrogen, channels H then O
    expected, centre = {1: 0, 8: 0}, 2
    for j, z in enumerate(hydrogen_peroxide.numbers):
        vector = hydrogen_peroxide.positions[j] - hydrogen_peroxide.positions[centre]
        r = np.linalg.norm(vector)
        if j == centre or r >= 3.5:
            continue
        radial = (
            shifted_cosine(torch.tensor(r), 3.5, 0.5).item()
            * gto_integrals(np.array([r]), gto_widths(3.5, 0.5, 3), np.array([0.3]), 4)[0]
        )
        y = spherical_harmonics(torch.tensor(vector[None]), 4).numpy()[0]
        expected[z] = expected[z] + np.concatenate([y[l * l : (l + 1) ** 2, None] * radial[l] for l in range(5)])
    scale = expansion.contraction_[1, 8][0, 0, 0].item()  # one scale per centre species
    np.testing.assert_allclose(found.numpy(), scale * np.concatenate([expected[1], expected[8]], axis=1), atol=1e-8)


def test_scale_makes_the_mean_norm_one(waters):
    batch = Samples.of(waters)
    expansion = DensityExpansion(SMALL, 6.0).fit([batch])
    for density in expansion.densities(batch).values():
        assert float((density**2).sum()) / len(density) == pytest.approx(1.0)
    near = [Samples.of(waters[:15]), Samples.of(waters[15:])]
    again = DensityExpansion(SMALL, 6.0).fit(near)
    for key, contraction in expansion.contraction_.items():
        torch.testing.assert_close(again.contraction_[key], contraction, atol=1e-9, rtol=1e-9)


@settings(derandomize=True, max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_density_is_equivariant(seed, improper):
    rng = np.random.default_rng(seed)
    atoms = Atoms("OCHHH", rng.normal(scale=1.2, size=(5, 3)))
    rotation, order = random_rotation(rng, improper), np.array([0, 1, 4, 2, 3])
    moved = permute(translate(rotate(atoms, rotation), rng.normal(size=3)), order)
    expansion = DensityExpansion(SMALL, 6.0).fit([Samples.of([atoms])])
    before, after = (expansion.densities(Samples.of([a])) for a in (atoms, moved))
    d = real_wigner_d(rotation, SMALL.max_l)
    for z, index in ((8, [0]), (6, [0]), (1, [2, 0, 1])):
        for l in range(SMALL.max_l + 1):
            part = slice(l * l, (l + 1) ** 2)
            expected = np.einsum("ab,sbq->saq", d[l], before[z][index][:, part].numpy())
            np.testing.assert_allclose(after[z][:, part].numpy(), expected, atol=TOLERANCE["float64"]["equivariance"])


def test_optimal_basis_of_full_size_keeps_kernels(waters):
    """As many functions as primitives: a rotation of the basis, so scalar products stay."""
    rng = np.random.default_rng(0)
    c = torch.from_numpy(rng.normal(size=(50, 5, 6)))
    covariance = torch.einsum("smn,smk->nk", c, c)[None]
    u = leading(covariance, 6)[0]
    torch.testing.assert_close(u.T @ u, torch.eye(6, dtype=torch.float64))
    explained = torch.einsum("kn,kq,qn->n", u, covariance[0], u)
    assert (explained.diff() < 0).all()
    two = leading(covariance, 2)[0]
    torch.testing.assert_close(two, u[:, :2])


def test_the_largest_component_of_an_optimal_function_is_positive():
    """Eigenvectors have no sign of their own: without a rule two machines would give two bases for equal data."""
    rng = np.random.default_rng(0)
    c = torch.from_numpy(rng.normal(size=(20, 30, 6)))
    for signs in (torch.ones(6, dtype=torch.float64), torch.from_numpy(rng.choice([-1.0, 1.0], size=6))):
        signed = c * signs  # the same data with other signs of the primitives
        u = leading(torch.einsum("lsn,lsk->lnk", signed, signed), 4)
        largest = u.gather(1, u.abs().argmax(dim=1, keepdim=True))
        assert bool((largest > 0).all())


@pytest.mark.parametrize("optimal", [{}, {"max_n": 1}])
def test_equal_data_give_equal_optimal_functions(waters, optimal):
    """Turned and in another order, in other batches."""
    rng = np.random.default_rng(3)
    turned = [rotate(waters[k], random_rotation(rng, bool(k % 2))) for k in rng.permutation(len(waters))]
    chosen = SMALL.model_copy(update=optimal)
    plain = DensityExpansion(chosen).fit([Samples.of(waters)])
    other = DensityExpansion(chosen).fit([Samples.of(turned[:7]), Samples.of(turned[7:])])
    assert plain.contraction_.keys() == other.contraction_.keys()
    for functions in ("contraction_", "pair_"):
        for key, contraction in getattr(plain, functions).items():
            torch.testing.assert_close(getattr(other, functions)[key], contraction, atol=1e-8, rtol=1e-8)
            largest = contraction.gather(1, contraction.abs().argmax(dim=1, keepdim=True))
            assert bool((largest > 0).all())


def test_optimal_basis_does_not_see_rotations(waters):
    turned = [rotate(atoms, random_rotation(np.random.default_rng(k), bool(k % 2))) for k, atoms in enumerate(waters)]
    plain, other = (DensityExpansion(SMALL, 6.0).fit([Samples.of(s)]) for s in (waters, turned))
    for key, contraction in plain.contraction_.items():
        torch.testing.assert_close(other.contraction_[key], contraction, atol=1e-8, rtol=1e-8)


def test_far_atoms_and_lone_atoms_have_no_neighbours():
    batch = Samples.of([Atoms("He"), Atoms("HeNe", [[0, 0, 0], [0, 0, 9.0]])])
    expansion = DensityExpansion(SMALL, 6.0).fit([batch])
    assert expansion.contraction_ == {}
    assert expansion.densities(batch)[2].shape == (2, 25, 0)
    g = expansion.pair_functions(batch, batch.family(Family("cross", 2, 10)), (2, 10))
    assert float(g.abs().max()) == 0.0


def test_batches_split_anywhere_give_the_same(waters):
    expansion = DensityExpansion(SMALL, 6.0).fit([Samples.of(waters)])
    whole = expansion.densities(Samples.of(waters))
    parts = [expansion.densities(Samples.of(waters[k : k + 7])) for k in range(0, len(waters), 7)]
    for z in (1, 8):
        torch.testing.assert_close(torch.cat([part[z] for part in parts]), whole[z], atol=EXACT, rtol=0)


def test_unseen_neighbours_are_refused(waters):
    expansion = DensityExpansion(SMALL, 6.0).fit([Samples.of(waters)])
    with pytest.raises(DomainError, match=r"O near O within 3\.5 Å: no training structure has such neighbours"):
        expansion.densities(Samples.of([Atoms("OO", [[0, 0, 0], [0, 0, 1.2]])]))
