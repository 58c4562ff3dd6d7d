import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.integrate import lebedev_rule

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.config import FeatureSettings
from hamlearn.errors import DomainError
from hamlearn.features import Featurizer
from hamlearn.features.cg_iteration import products, squares
from hamlearn.features.n_centre import PairFactors, pair_features, split_by_l
from hamlearn.features.terms import Coupled, Terms
from hamlearn.structures import random_rotation
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Pairs, Samples
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SMALL = FeatureSettings(max_l=3, max_n=3, cutoff_angstrom=4.0)
FAMILIES = [Family("on_site", 1, 1), Family("plus", 1, 1), Family("minus", 1, 1), Family("cross", 1, 8)]
IRREPS = [(L, sigma) for L in range(4) for sigma in (1, -1)]


def cg_product(a, b, wanted):
    like = next(iter(a.values()))
    return {irrep: Terms(products(a, b, irrep), like, irrep[0]).tensor() for irrep in wanted}


def random_equivariants(seed, q=3, n=4, max_l=3):
    rng = np.random.default_rng(seed)
    return {(l, 1): torch.from_numpy(rng.normal(size=(n, 2 * l + 1, q))) for l in range(max_l + 1)}


def molecules(seed, n=3):
    rng = np.random.default_rng(seed)
    return [Atoms("OCHHH", rng.normal(scale=1.3, size=(5, 3))) for _ in range(n)]


def test_no_symmetry_is_left_out():
    """Every symmetry a pair block can have finds features that do not vanish."""
    features = Featurizer(SMALL).fit([Samples.of(molecules(0))]).features(Samples.of(molecules(0)))
    for family in FAMILIES[1:]:
        for irrep in [i for i in IRREPS if i != (0, -1)]:
            assert float(features(family, irrep).abs().max()) > 1e-4, (family, irrep)


@pytest.mark.parametrize("irrep", [irrep for irrep in IRREPS if irrep != (0, -1)])
def test_features_of_like_pairs_are_half_the_sum_and_difference_of_both_directions(irrep):
    """K = (x_ij + s x_ji) . (x'_ij + s x'_ji) / 2 of x = (g, rho x g) seen from either end: no part weighs more."""
    rho_i, rho_j, g = (torch.cat(list(random_equivariants(seed).values()), dim=1) for seed in range(3))
    back = torch.cat([(-1) ** l * g[:, l * l : (l + 1) ** 2] for l in range(4)], dim=1)
    directed = []
    for rho, pair in ((rho_i, g), (rho_j, back)):
        both = pair_features(PairFactors(rho, rho, pair), "cross", irrep, 1).tensor()
        n_bare = pair_features(PairFactors(rho, rho, pair), "cross", irrep, 0).tensor().shape[2]
        directed.append(both[:, :, : n_bare + (both.shape[2] - n_bare) // 2])  # what follows is from the other end
    for kind, sign in (("plus", 1), ("minus", -1)):
        found = pair_features(PairFactors(rho_i, rho_j, g), kind, irrep, 1).tensor()
        expected = (directed[0] + sign * directed[1]) / 2**0.5
        kernels = [torch.einsum("sMq,tNq->sMtN", x, x) for x in (found, expected)]
        torch.testing.assert_close(*kernels, atol=1e-11, rtol=1e-11)


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
    full, distinct = cg_product(a, a, [irrep])[irrep], Terms(squares(a, irrep), a[0, 1], irrep[0]).tensor()
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
    batch = Samples.of(structures)
    expansion = Featurizer(same).fit([batch]).expansion_
    oxygen = expansion.densities(batch)[8]
    g = expansion.pair_functions(batch, batch.within(4.0).select(np.arange(3)), (1, 8))
    ratio = expansion.contraction_[8, 1][0, 0, 0] / expansion.pair_[1, 8][0, 0, 0]
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
    features = Featurizer(SMALL).fit([Samples.of(waters)]).features(Samples.of(waters))
    assert bool((features(Family("on_site", 8, 8), (0, 1))[:, 0, 0] == 1).all())


@pytest.mark.parametrize("nu", [0, 1, 2])
def test_body_orders_are_nested(waters, nu):
    batch = Samples.of(waters[:4])
    chosen = SMALL.model_copy(update={"max_nu_centre": nu})
    x = Featurizer(chosen).fit([batch]).features(batch)(Family("on_site", 8, 8), (0, 1))
    full = Featurizer(SMALL).fit([batch]).features(batch)(Family("on_site", 8, 8), (0, 1))
    assert x.shape[2] == (1, 4, full.shape[2])[nu]
    torch.testing.assert_close(x, full[:, :, : x.shape[2]], atol=EXACT, rtol=0)


def test_pairs_of_elements_never_seen_are_refused(waters):
    featurizer = Featurizer(SMALL).fit([Samples.of(waters)])
    with pytest.raises(DomainError, match=r"\(8, 8\) were never seen"):
        featurizer.features(Samples.of(waters[:1])).terms(Family("plus", 8, 8), (0, 1))


def test_bare_pair_features_are_those_of_both_directions():
    """(g_ij +- g_ji) / sqrt 2, g_ji made by going from j to i."""
    samples = Samples.of(molecules(2))
    bare = SMALL.model_copy(update={"max_nu_pair": 0})
    featurizer = Featurizer(bare).fit([samples])
    features = featurizer.features(samples)
    pairs = samples.family(Family("plus", 1, 1))
    back = Pairs(pairs.j, pairs.i, -pairs.shift)
    forward, backward = (featurizer.expansion_.pair_functions(samples, p, (1, 1)) for p in (pairs, back))
    for kind, sign in (("plus", 1), ("minus", -1)):
        for l in range(4):
            expected = (forward + sign * backward)[:, l * l : (l + 1) ** 2] * 2**-0.5
            found = features(Family(kind, 1, 1), (l, 1))
            if (-1) ** l == sign:
                torch.testing.assert_close(found, expected, atol=EXACT, rtol=0)
                assert float(found.abs().max()) > 1e-3
            else:
                assert found.shape[2] == 0 and float(expected.abs().max()) < EXACT


def test_pair_features_are_sums_of_both_directions():
    """(rho_i x g_ij +- rho_j x g_ji) / sqrt 2, coupled one by one."""
    samples = Samples.of(molecules(2))
    featurizer = Featurizer(SMALL).fit([samples])
    features = featurizer.features(samples)
    pairs = samples.family(Family("plus", 1, 1))
    density = featurizer.expansion_.densities(samples)[1]
    i, j = (split_by_l(density[torch.from_numpy(samples.row[x])]) for x in (pairs.i, pairs.j))
    back = Pairs(pairs.j, pairs.i, -pairs.shift)
    g, g_back = (split_by_l(featurizer.expansion_.pair_functions(samples, p, (1, 1))) for p in (pairs, back))
    for irrep in IRREPS:
        one, other = (cg_product(rho, x, [irrep])[irrep] for rho, x in ((i, g), (j, g_back)))
        for kind, sign in (("plus", 1), ("minus", -1)):
            found = features(Family(kind, 1, 1), irrep)[:, :, -one.shape[2] :] if one.shape[2] else one
            torch.testing.assert_close(found, (one + sign * other) * 2**-0.5, atol=EXACT, rtol=0)


def test_densities_are_made_once_for_all_families(waters, monkeypatch):
    samples, calls = Samples.of(waters[:3]), []
    featurizer = Featurizer(SMALL).fit([samples])
    for name in ("densities", "pair_functions"):
        made = getattr(featurizer.expansion_, name)
        monkeypatch.setattr(
            featurizer.expansion_, name, lambda *args, made=made, name=name: (calls.append(name), made(*args))[1]
        )
    features = featurizer.features(samples)
    for family in FAMILIES:
        for irrep in IRREPS:
            features(family, irrep)
    assert sorted(calls) == ["densities", "pair_functions", "pair_functions"]  # H-H for plus and minus, H-O
