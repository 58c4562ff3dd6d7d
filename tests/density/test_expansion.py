"""One expansion for both kinds of radial functions and contraction: options, derivatives, periodic images, state."""

import numpy as np
import pytest
import torch
from ase import Atoms

from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.config import DensitySettings, ScalingSettings
from hamlearn.density import DensityExpansion
from hamlearn.density.contraction import leading
from hamlearn.density.gto import gto_integrals, gto_widths
from hamlearn.density.radial import radial_functions
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
GTO = DensitySettings(radial="gto", max_l=2, max_n=3, cutoff_angstrom=3.0, smearing_angstrom=0.4, max_channels=6)
OVERLAP = GTO.model_copy(update={"radial": "overlap", "max_n": None})
KINDS = {
    "gto, joint": GTO,
    "gto, separate": GTO.model_copy(update={"max_channels": None, "smearing_growth_angstrom": None}),
    "overlap, joint": OVERLAP,
    "overlap, separate": OVERLAP.model_copy(update={"max_channels": None, "max_n": 3}),
}
PAIR_CUTOFF = 4.0


@pytest.fixture(params=KINDS)
def expansion(request):
    chosen = KINDS[request.param].model_copy(update={"decay_angstrom": 2.0, "scaling": ScalingSettings()})
    return DensityExpansion(chosen, PAIR_CUTOFF).fit([Samples.of(molecules())])


def molecules(n=5):
    rng = np.random.default_rng(2)
    base = np.array([[0, 0, 0.0], [0.76, 0, 0.59], [-0.76, 0, 0.59], [0, 1.3, -0.4]])
    return [Atoms("OHHC", base + rng.normal(scale=0.08, size=base.shape)) for _ in range(n)]


# -- derivatives


def test_densities_are_differentiable(expansion):
    samples = Samples.of(molecules(1))

    def densities(positions):
        return tuple(expansion.densities(samples.at(positions)).values())

    assert torch.autograd.gradcheck(densities, samples.positions.clone().requires_grad_(), atol=1e-6)


def test_pair_functions_are_differentiable(expansion):
    samples = Samples.of(molecules(1))
    pairs = samples.family(Family("cross", 1, 8))
    x = samples.positions.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: expansion.pair_functions(samples.at(p), pairs, (1, 8)), x, atol=1e-6)


def test_gradients_are_those_of_autograd(expansion):
    """The derivatives kernels use, against those through the spline and the harmonics."""
    samples = Samples.of(molecules(2))
    positions = samples.positions.clone().requires_grad_()
    densities, gradients = expansion.densities(samples.at(positions)), expansion.gradients(samples)
    rng = np.random.default_rng(0)
    for z, density in densities.items():
        probe = torch.from_numpy(rng.normal(size=density.shape))
        (expected,) = torch.autograd.grad((density * probe).sum(), positions, retain_graph=True)
        g = gradients[z]
        pull = torch.einsum("pxmq,pmq->px", g.values, probe[torch.from_numpy(g.row)])
        found = torch.zeros_like(expected)
        found.index_add_(0, torch.from_numpy(g.neighbour), pull).index_add_(0, torch.from_numpy(g.centre), -pull)
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def test_dtype_is_that_of_the_positions(expansion):
    samples = Samples.of(molecules(2))
    single = samples.at(samples.positions.float())
    for z, density in expansion.densities(single).items():
        assert density.dtype == torch.float32
        torch.testing.assert_close(density.double(), expansion.densities(samples)[z], atol=1e-5, rtol=1e-4)


# -- what is summed


def test_periodic_images_are_neighbours(expansion):
    """The atoms of a cell have the densities of the same atoms amid copies of the cell."""
    rng = np.random.default_rng(1)
    cell = 4 * np.eye(3) + rng.normal(scale=0.2, size=(3, 3))
    crystal = Atoms("OHHC", molecules(1)[0].positions + 0.3, cell=cell, pbc=[True, True, False])
    copies = [crystal.positions + [i, j, 0] @ cell for i in (0, -1, 1) for j in (0, -1, 1)]
    cluster = Atoms("OHHC" * 9, np.concatenate(copies))
    fitted = DensityExpansion(expansion.settings, PAIR_CUTOFF).fit([Samples.of([cluster])])
    assert Samples.of([crystal]).within(3.0).shift.any()
    for z, density in fitted.densities(Samples.of([crystal])).items():
        expected = fitted.densities(Samples.of([cluster]))[z][: len(density)]
        torch.testing.assert_close(density, expected, atol=1e-12, rtol=0)


def test_densities_are_sums_of_single_neighbours(expansion):
    samples = Samples.of(molecules(2))
    densities = expansion.densities(samples)
    for z, (pairs, terms) in expansion.single_neighbours(samples).items():
        total = torch.zeros_like(densities[z]).index_add(0, torch.from_numpy(samples.row[pairs.i]), terms)
        torch.testing.assert_close(total, densities[z], atol=EXACT, rtol=0)
        assert densities[z].shape[2] == expansion.n_channels(z)


def test_uncontracted_densities_hold_all_that_contracted_ones_do(expansion):
    """Contracted channels are projections of the uncontracted ones: no kernel of an environment with itself grows."""
    samples = Samples.of(molecules())
    whole, contracted = expansion.uncontracted().densities(samples), expansion.densities(samples)
    for z, c in contracted.items():
        full, kept = ((x**2).sum(dim=(1, 2)) for x in (whole[z], c))
        assert bool((kept <= full * (1 + 1e-9)).all()) and float((kept / full).min()) > 0.5


@pytest.mark.parametrize("radial", ["gto", "overlap"])
def test_weights_multiply_either_radial_function(radial):
    plain = {"gto": GTO, "overlap": OVERLAP}[radial]
    r = torch.linspace(0.6, 2.9, 50, dtype=torch.float64)
    of = ScalingSettings(rate=2, scale_angstrom=1.5, exponent=3)
    weighted = plain.model_copy(update={"scaling": of, "decay_angstrom": 1.7})
    weight = 2 / (2 + (r / 1.5) ** 3) * torch.exp(-r / 1.7)
    expected = radial_functions(plain)(r) * weight[:, None, None]
    torch.testing.assert_close(radial_functions(weighted)(r), expected, atol=1e-6 * float(expected.max()), rtol=0)
    values, slopes = radial_functions(weighted).with_slopes(r)
    torch.testing.assert_close(values, radial_functions(weighted)(r), atol=EXACT, rtol=0)
    step = 1e-5
    difference = (radial_functions(weighted)(r + step) - radial_functions(weighted)(r - step)) / (2 * step)
    torch.testing.assert_close(slopes, difference, atol=1e-6 * float(slopes.abs().max()), rtol=0)


def test_growing_gaussians_in_a_basis_of_gaussian_type():
    """The integrals of a Gaussian of the width at each distance, whose volume stays."""
    r = np.linspace(0.5, 2.4, 20)
    width = 0.4 * np.exp(r / 2.0)
    integrals = gto_integrals(r, gto_widths(3.0, 0.5, 3), width, 2)
    expected = integrals * ((0.4 / width) ** 3)[:, None, None]
    np.testing.assert_allclose(radial_functions(GTO)(torch.from_numpy(r)).numpy(), expected, atol=1e-8)
    slow = radial_functions(GTO.model_copy(update={"smearing_growth_angstrom": 1e9}))(torch.from_numpy(r))
    constant = radial_functions(GTO.model_copy(update={"smearing_growth_angstrom": None}))(torch.from_numpy(r))
    torch.testing.assert_close(slow, constant, atol=1e-7, rtol=0)


def test_weight_of_l_as_published():
    r = torch.tensor([1.0, 2.0], dtype=torch.float64)
    plain = radial_functions(OVERLAP)(r)
    published = radial_functions(OVERLAP.model_copy(update={"l_weight": "haar"}))(r)
    factor = torch.sqrt(8 * np.pi**2 / (2 * torch.arange(3, dtype=torch.float64) + 1))
    torch.testing.assert_close(published, plain * factor[:, None], atol=EXACT, rtol=EXACT)


@pytest.mark.parametrize("radial", ["gto", "overlap"])
def test_alike_elements_share_channels(radial):
    """The scalar product of two densities is sum_ab kappa_ab of those of neighbours a and b, for either basis."""
    from hamlearn.density.likeness import coupling_factor

    plain = {"gto": GTO, "overlap": OVERLAP}[radial].model_copy(update={"max_channels": 256})
    samples, species = Samples.of(molecules()), [1, 6, 8]
    alike = DensityExpansion(plain.model_copy(update={"element_likeness": 1.5})).fit([samples])
    u = coupling_factor(species, 1.5)
    pairs = samples.within(3.0)
    oxygen = pairs.select(samples.species[pairs.i] == 8)
    vectors = samples.vectors(oxygen)
    functions = radial_functions(plain)(torch.linalg.norm(vectors, dim=1))
    l_of_lm = torch.tensor([0, 1, 1, 1, 2, 2, 2, 2, 2])
    terms = functions[:, l_of_lm] * spherical_harmonics(vectors, 2)[:, :, None]
    by_element = torch.zeros((5, 3, *terms.shape[1:]), dtype=torch.float64)
    place = torch.from_numpy(np.searchsorted(species, samples.species[oxygen.j]))
    by_element.index_put_((torch.from_numpy(samples.row[oxygen.i]), place), terms, accumulate=True)
    expected = torch.einsum("iamn,ab,jbmn->ij", by_element, torch.from_numpy(u.T @ u), by_element)
    c = alike.densities(samples)[8].flatten(1)
    torch.testing.assert_close(c @ c.T, alike.scale_**2 * expected, atol=1e-7, rtol=1e-7)


# -- contraction


@pytest.mark.parametrize("last_bit", [-1e-13, 0.0, 1e-13])
def test_equal_components_do_not_decide_a_sign_by_the_last_bit(last_bit):
    """The first of the largest components is positive, however rounding makes them differ."""
    v = np.array([-0.1, -0.7, 0.7 + last_bit, 0.05])
    for sign in (1, -1):
        vector = sign * v / np.linalg.norm(v)
        covariance = torch.from_numpy(np.outer(vector, vector))[None]
        found = leading(covariance, 1)[0, :, 0].numpy()
        np.testing.assert_allclose(found, -v / np.linalg.norm(v), atol=1e-12)


def test_state_round_trip(expansion):
    samples = Samples.of(molecules(2))
    again = DensityExpansion.from_state(
        expansion.settings, PAIR_CUTOFF, {**expansion.state(), "other.1": torch.ones(1)}
    )
    assert again.neighbours == expansion.neighbours == samples.neighbours(3.0)
    for z, density in expansion.densities(samples).items():
        assert torch.equal(again.densities(samples)[z], density)
    for z, density in expansion.uncontracted().densities(samples).items():
        assert torch.equal(again.uncontracted().densities(samples)[z], density)
    pairs = samples.family(Family("cross", 1, 8))
    assert torch.equal(again.pair_functions(samples, pairs, (1, 8)), expansion.pair_functions(samples, pairs, (1, 8)))
