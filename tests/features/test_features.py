import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import lebedev_rule

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.config import FeatureSettings
from hamlearn.density import Batch
from hamlearn.features import Featurizer, cg_product, cg_square
from hamlearn.features.n_centre import split_by_l
from hamlearn.features.terms import Coupled
from hamlearn.structures import permute, random_rotation, rotate, translate
from hamlearn.structures.samples import Family
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SMALL = FeatureSettings(max_l=3, max_n=3, cutoff_angstrom=4.0)
FAMILIES = [Family("on_site", 1, 1), Family("plus", 1, 1), Family("minus", 1, 1), Family("cross", 1, 8)]
IRREPS = [(L, sigma) for L in range(4) for sigma in (1, -1)]


def random_equivariants(seed, q=3, n=4, max_l=3):
    rng = np.random.default_rng(seed)
    return {(l, 1): torch.from_numpy(rng.normal(size=(n, 2 * l + 1, q))) for l in range(max_l + 1)}


def molecules(seed, n=3):
    rng = np.random.default_rng(seed)
    return [Atoms("OCHHH", rng.normal(scale=1.3, size=(5, 3))) for _ in range(n)]


@settings(derandomize=True, max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_features_are_equivariant(seed, improper):
    """Rotation, inversion, translation and permutation of like atoms at once, for every family and symmetry."""
    rng = np.random.default_rng(seed)
    structures, rotation = molecules(seed), random_rotation(rng, improper)
    moved = [translate(rotate(atoms, rotation), rng.normal(size=3)) for atoms in structures]
    featurizer = Featurizer(SMALL).fit([Batch.from_atoms(structures)])
    before, after = (featurizer.features(Batch.from_atoms(s)) for s in (structures, moved))
    d = real_wigner_d(rotation, 3)
    for family in FAMILIES:
        for L, sigma in IRREPS:
            x = before(family, (L, sigma)).numpy()
            expected = (sigma if improper else 1) * np.einsum("ab,sbq->saq", d[L], x)
            found = after(family, (L, sigma)).numpy()
            np.testing.assert_allclose(found, expected, atol=TOLERANCE["float64"]["equivariance"])


def test_no_symmetry_is_left_out():
    """Every symmetry a pair block can have finds features that do not vanish."""
    features = Featurizer(SMALL).fit([Batch.from_atoms(molecules(0))]).features(Batch.from_atoms(molecules(0)))
    for family in FAMILIES[1:]:
        for irrep in [i for i in IRREPS if i != (0, -1)]:
            assert float(features(family, irrep).abs().max()) > 1e-4, (family, irrep)


def test_exchange_of_like_atoms():
    structures, order = molecules(1, n=1), [0, 1, 3, 2, 4]  # first two hydrogens change places
    featurizer = Featurizer(SMALL).fit([Batch.from_atoms(structures)])
    swapped = [permute(structures[0], order)]
    before, after = (featurizer.features(Batch.from_atoms(s)) for s in (structures, swapped))
    for kind, sign in (("plus", 1), ("minus", -1)):
        x, y = before(Family(kind, 1, 1), (2, 1)), after(Family(kind, 1, 1), (2, 1))
        torch.testing.assert_close(y[0], sign * x[0], atol=EXACT, rtol=0)
        torch.testing.assert_close(y[[1, 2]], x[[2, 1]], atol=EXACT, rtol=0)


def test_couple_against_the_plain_sum():
    from hamlearn.angular.clebsch_gordan import clebsch_gordan

    rng = np.random.default_rng(0)
    a, b = torch.from_numpy(rng.normal(size=(5, 3, 2))), torch.from_numpy(rng.normal(size=(5, 5, 4)))
    expected = np.einsum("sap,sbq,abM->sMpq", a, b, clebsch_gordan(1, 2, 2)).reshape(5, 5, 8)
    np.testing.assert_allclose(Coupled(a, b, 2).tensor(), expected, atol=EXACT)
    flipped = np.einsum("sbq,sap,baM->sMqp", b, a, clebsch_gordan(2, 1, 2)).reshape(5, 5, 8)
    np.testing.assert_allclose(Coupled(b, a, 2).tensor(), flipped, atol=EXACT)


@pytest.mark.parametrize("irrep", [(0, 1), (1, 1), (1, -1), (2, 1), (2, -1), (3, -1)])
def test_square_has_the_kernel_of_the_product(irrep):
    a = random_equivariants(3)
    full, distinct = cg_product(a, a, [irrep])[irrep], cg_square(a, [irrep])[irrep]
    kernels = [torch.einsum("sMq,tNq->sMtN", x, x) for x in (full, distinct)]
    torch.testing.assert_close(kernels[1], kernels[0], atol=EXACT, rtol=EXACT)
    assert distinct.shape[2] < full.shape[2]


def test_invariants_of_order_two_are_the_power_spectrum():
    a = random_equivariants(5)
    invariants = cg_product(a, a, [(0, 1)])[0, 1][:, 0]
    kernel = invariants @ invariants.T
    expected = 0
    for (l, _), c in a.items():
        p = torch.einsum("smq,smp->sqp", c, c).flatten(1) / (2 * l + 1) ** 0.5
        expected = expected + p @ p.T
    torch.testing.assert_close(kernel, expected, atol=EXACT, rtol=EXACT)


@pytest.mark.parametrize("nu", [2, 3])
def test_invariant_kernels_are_means_over_rotations(nu):
    """sum over features of order nu = mean over O(3) of <rho_i | R rho_j>^nu, on a quadrature grid."""
    a = random_equivariants(7, q=2, n=2, max_l=2)
    wanted = [(l, s) for l in range(7) for s in (1, -1)]
    features = {irrep: x for irrep, x in cg_product(a, a, wanted).items() if x.shape[2]}
    if nu == 3:
        features = cg_product(features, a, [(0, 1)])
    found = float((features[0, 1][0, 0] * features[0, 1][1, 0]).sum())
    total = 0.0
    for rotation, weight in so3_grid(nu * 2):
        for sign in (1, -1):
            d = real_wigner_d(sign * rotation, 2)
            f = sum(float((x[0] * (torch.from_numpy(d[l]) @ x[1])).sum()) for (l, _), x in a.items())
            total += 0.5 * weight * f**nu
    assert found == pytest.approx(total, rel=1e-10)


def so3_grid(degree):
    """Rotations and weights that integrate polynomials of a degree: Lebedev axes times a circle."""
    points, weights = lebedev_rule(min(n for n in (3, 5, 7, 9, 11, 13) if n >= degree))
    for point, weight in zip(points.T, weights / weights.sum(), strict=True):
        helper = np.eye(3)[np.argmin(np.abs(point))]
        x = np.cross(helper, point) / np.linalg.norm(np.cross(helper, point))
        frame = np.stack([x, np.cross(point, x), point], axis=1)
        for k in range(degree + 1):
            angle = 2 * np.pi * k / (degree + 1)
            c, s = np.cos(angle), np.sin(angle)
            yield frame @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), weight / (degree + 1)


def test_pair_features_summed_over_neighbours_are_centre_features():
    """sum_j rho_i x g_ij over j of a species = rho_i x rho_i of that channel, if both use one radial basis."""
    same = FeatureSettings(max_l=3, max_n=3, optimal=False, cutoff_angstrom=4.0, pair_cutoff_angstrom=4.0)
    structures = [Atoms("OHHH", np.random.default_rng(0).normal(size=(4, 3)))]
    batch = Batch.from_atoms(structures)
    expansion = Featurizer(same).fit([batch]).expansion_
    oxygen = expansion.densities(batch)[8]
    start, end = np.zeros(3, dtype=np.int64), np.array([1, 2, 3])
    g = expansion.pair_functions(batch, start, end, (1, 8))
    ratio = expansion.environment_[8, 1][0, 0, 0] / expansion.pair_[1, 8][0, 0, 0]
    torch.testing.assert_close(ratio * g.sum(dim=0), oxygen[0], atol=1e-12, rtol=1e-12)
    rho = oxygen.expand(3, -1, -1)
    for irrep in [(0, 1), (2, 1), (1, -1)]:
        pairs = cg_product(split_by_l(rho), split_by_l(g), [irrep])[irrep]
        centre = cg_product(split_by_l(oxygen), split_by_l(oxygen), [irrep])[irrep]
        torch.testing.assert_close(ratio * pairs.sum(dim=0), centre[0], atol=1e-12, rtol=1e-10)


def test_higher_orders_are_further_calls():
    """Order 3 of a rotated structure, made by calling the same product again."""
    rotation = random_rotation(np.random.default_rng(0), improper=True)
    a, d = random_equivariants(1, q=2), real_wigner_d(rotation, 4)
    turned = {(l, s): torch.einsum("ab,sbq->saq", torch.from_numpy(d[l]), x) for (l, s), x in a.items()}

    def order_three(rho):
        two = {k: x for k, x in cg_product(rho, rho, IRREPS).items() if x.shape[2]}
        return cg_product(two, rho, IRREPS)

    before, after = order_three(a), order_three(turned)
    for (L, sigma), x in before.items():
        expected = sigma * torch.einsum("ab,sbq->saq", torch.from_numpy(d[L]), x)
        torch.testing.assert_close(after[L, sigma], expected, atol=1e-10, rtol=1e-10)


def test_intercept_is_the_first_on_site_feature(waters):
    features = Featurizer(SMALL).fit([Batch.from_atoms(waters)]).features(Batch.from_atoms(waters))
    assert bool((features(Family("on_site", 8, 8), (0, 1))[:, 0, 0] == 1).all())


def test_tensors_round_trip(waters):
    featurizer = Featurizer(SMALL).fit([Batch.from_atoms(waters)])
    again = Featurizer.from_tensors(SMALL, featurizer.tensors())
    batch = Batch.from_atoms(waters[:3])
    for family in FAMILIES[:2]:
        assert torch.equal(again.features(batch)(family, (0, 1)), featurizer.features(batch)(family, (0, 1)))


def test_a_far_atom_changes_nothing():
    near = Atoms("OHH", [[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]])
    far = near + Atoms("H", [[0, 0, 20.0]])
    featurizer = Featurizer(SMALL).fit([Batch.from_atoms([near])])
    x, y = (featurizer.features(Batch.from_atoms([a]))(Family("on_site", 8, 8), (2, 1)) for a in (near, far))
    torch.testing.assert_close(x, y, atol=EXACT, rtol=0)


@pytest.mark.parametrize("nu", [0, 1, 2])
def test_body_orders_are_nested(waters, nu):
    batch = Batch.from_atoms(waters[:4])
    chosen = SMALL.model_copy(update={"max_nu_centre": nu})
    x = Featurizer(chosen).fit([batch]).features(batch)(Family("on_site", 8, 8), (0, 1))
    full = Featurizer(SMALL).fit([batch]).features(batch)(Family("on_site", 8, 8), (0, 1))
    assert x.shape[2] == (1, 4, full.shape[2])[nu]
    torch.testing.assert_close(x, full[:, :, : x.shape[2]], atol=EXACT, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_projection_is_the_product_with_weights(family):
    """The answer of a linear model, with and without making its features."""
    structures = molecules(4)
    batch = Batch.from_atoms(structures)
    features = Featurizer(SMALL).fit([batch]).features(batch)
    for irrep in IRREPS:
        terms, x = features.terms(family, irrep), features(family, irrep)
        assert terms.n_features == x.shape[2]
        w = torch.randn(x.shape[2], 3, dtype=torch.float64)
        torch.testing.assert_close(terms.project(w), x @ w, atol=1e-12, rtol=1e-11)
