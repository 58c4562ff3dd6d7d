"""Products in the frames of bonds: symmetry, exchange, contraction and edge cases."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.angular.bond_frame import bond_frames
from hamlearn.config import BondFrameFeatures
from hamlearn.errors import ArtifactError, DomainError
from hamlearn.features import bond_rows
from hamlearn.features.bond_frame import BondFrame
from hamlearn.features.bond_rows import Bonds
from hamlearn.features.bond_variables import exchange
from hamlearn.o3 import bonds
from hamlearn.structures import permute, random_rotation, rotate, translate
from hamlearn.structures.samples import Samples
from hamlearn.testing.exact_problems import small_molecules

SMALL = BondFrameFeatures(max_l=2, max_n=3, max_channels=5, threshold=1e-5, max_features=200)
KINDS = [Bonds("pair", 1, 1), Bonds("pair", 1, 8), Bonds("pair", 8, 8), Bonds("site", 1, 8), Bonds("site", 8, 1)]
KNOWN, NEW = small_molecules(8), small_molecules(4, seed=1)
EXACT = 1e-12


def fitted(structures=KNOWN, section=SMALL, kinds=KINDS, charge=2):
    return BondFrame(section).fit([Samples.of(structures)], dict.fromkeys(kinds, charge))


@pytest.fixture(scope="module")
def frame():
    return fitted()


def products(frame, structures, kind, exchanged=False):
    return frame.products(frame.tile(Samples.of(structures)), kind, exchanged)


def magnitudes(phi):
    """What no roll of the frames changes: squares of all of charge M, and products of two of M > 0 [row, ...]."""
    out = {}
    for key, x in phi.items():
        some = x[:12].T
        out[key] = (some[:, :, None] * some[:, None].conj()) if key[0] else some
    return out


def assert_equal(found, expected, signs=()):
    for key, x in expected.items():
        sign = -1.0 if key in signs else 1.0
        np.testing.assert_allclose(found[key], sign * x, rtol=0, atol=EXACT * max(1.0, float(x.abs().max())))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_rotations_and_translations_only_roll_the_frames(frame, kind, seed):
    rng = np.random.default_rng(seed)
    turned = [translate(rotate(atoms, random_rotation(rng)), rng.normal(size=3)) for atoms in NEW]
    assert_equal(magnitudes(products(frame, turned, kind)), magnitudes(products(frame, NEW, kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_inversion_conjugates(frame, kind):
    """Features that are odd under mirrors change sign, and products with a conjugate are conjugated."""
    inverted = [rotate(atoms, -np.eye(3)) for atoms in NEW]
    expected = {key: x.conj() for key, x in magnitudes(products(frame, NEW, kind)).items()}
    assert_equal(magnitudes(products(frame, inverted, kind)), expected, signs=[(0, -1)])
    assert float(products(frame, NEW, kind)[0, -1].abs().max()) > 1e-4  # peroxide is chiral


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_rolls_of_the_frames_multiply_by_phases(frame, kind, seed):
    """exp(i M phi), for any phi of every bond."""
    direction = torch.from_numpy(np.random.default_rng(seed).normal(size=3, scale=9.0))
    before = products(frame, NEW, kind)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bond_rows, "bond_frames", lambda vectors: rolled_frames(vectors, vectors @ direction))
        tile = frame.tile(Samples.of(NEW))
    phi = tile.samples.vectors(tile.rows[kind].pairs) @ direction
    assert_equal(frame.products(tile, kind), {key: x * torch.exp(1j * key[0] * phi) for key, x in before.items()})


def rolled_frames(vectors, phi):
    c, s, zero, one = torch.cos(phi), torch.sin(phi), torch.zeros_like(phi), torch.ones_like(phi)
    roll = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).reshape(-1, 3, 3)
    return roll @ bond_frames(vectors)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.is_like])
def test_like_pairs_are_seen_from_either_end(frame, kind):
    """What atoms in the other order give, but for a roll and a mirror."""
    back = [permute(atoms, np.arange(len(atoms))[::-1]) for atoms in NEW]
    found = magnitudes(products(frame, back, kind))
    expected = {key: x.conj() for key, x in magnitudes(products(frame, NEW, kind, exchanged=True)).items()}
    assert_equal(found, expected, signs=[(0, -1)])
    with pytest.raises(AssertionError):
        assert_equal(found, magnitudes(products(frame, NEW, kind)))


def test_exchange_is_its_own_inverse_and_transpose():
    n_l, q, others = 3, 2, 4
    matrix = exchange(torch.eye(2 * n_l * q + others, dtype=torch.float64), n_l, q)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(matrix @ matrix, np.eye(len(matrix)))


@pytest.mark.skipif(not bonds.is_compiled(), reason="not compiled")
@pytest.mark.parametrize("kind", KINDS)
def test_variables_of_the_compiled_loop_are_those_of_torch(frame, kind):
    """Of as many rows as it takes at once, of fewer and of none; with torch they can be differentiated."""
    contraction, sides = frame.contractions_[kind], ("i", "j", "both") if kind.is_like else ("i",)
    for structures in (KNOWN, NEW[:1], [Atoms("O")]):
        samples = Samples.of(structures)
        rows = frame.tile(samples).rows[kind]
        recorded = frame.tile(samples.at(samples.positions.clone().requires_grad_())).rows[kind]
        assert rows.frames.are_plain and not recorded.frames.are_plain
        for side in sides:
            found, expected = (contraction.components(some, side) for some in (rows, recorded))
            assert expected.requires_grad and not found.requires_grad
            np.testing.assert_allclose(found, expected.detach(), rtol=0, atol=1e-14)
            assert found.shape[1] == len(rows) * (1 + (side == "both"))


@pytest.mark.skipif(not bonds.is_compiled(), reason="not compiled")
@pytest.mark.parametrize(("max_l", "plain"), [(bonds.MOST_L, True), (bonds.MOST_L + 1, False)])
def test_densities_of_an_l_the_compiled_loop_does_not_know_are_left_to_torch(frame, max_l, plain):
    known = frame.tile(Samples.of(NEW)).rows[KINDS[0]].frames
    density = known.density.new_zeros((len(known.density), (max_l + 1) ** 2, 1))
    assert replace(known, density=density).are_plain is plain


@pytest.mark.parametrize("kind", KINDS)
def test_variables_are_uncorrelated_and_have_the_variances_that_are_kept(frame, kind):
    """Over the training set; like pairs count from either end, and those with a charge are not centred."""
    rows, contraction = frame.tile(Samples.of(KNOWN)).rows[kind], frame.contractions_[kind]
    both = [contraction.components(rows, side) for side in (("i", "j") if kind.is_like else ("i",))]
    x = torch.cat(both, dim=1).numpy()
    n, n_real = len(contraction.charges), int((contraction.charges == 0).sum())
    found = x[:n] @ x[:n].T / x.shape[1]
    imaginary = x[n:] @ x[n:].T / x.shape[1]
    found[n_real:, n_real:] += imaginary
    same_charge = contraction.charges[:, None] == contraction.charges
    largest = contraction.variances.max()
    np.testing.assert_allclose(np.where(same_charge, found, 0), np.diag(contraction.variances), atol=1e-12 * largest)
    np.testing.assert_allclose(x[:n_real].mean(axis=1), 0, atol=1e-12)
    total = frame.settings.length**2 * float(((1 + (contraction.charges > 0)) * contraction.variances).sum())
    assert 0.999 < total < 1 + 1e-9


def test_what_is_kept_reaches_the_threshold_and_is_the_most_important():
    few, many = (fitted(section=SMALL.model_copy(update={"max_features": n})) for n in (30, 200))
    for kind in KINDS[:3]:
        for key in many.trees_[kind].keys:
            assert few.trees_[kind].n_features(key) <= 30 and many.trees_[kind].n_features(key) <= 200
        coarse = fitted(section=SMALL.model_copy(update={"threshold": 1e-3})).trees_[kind]
        assert coarse.n_features((1, 0)) < many.trees_[kind].n_features((1, 0))


def test_elements_and_neighbours_that_were_not_there_are_refused(frame):
    with pytest.raises(DomainError, match=r"elements \[6\] were not in the training set"):
        frame.tile(Samples.of([Atoms("CH", [[0, 0, 0], [0, 0, 1.1]])]))


def test_kinds_of_bonds_that_do_not_occur_are_left_out():
    kinds = [*KINDS, Bonds("pair", 1, 6), Bonds("site", 6, 1)]
    frame = fitted(kinds=kinds)
    assert sorted(frame.contractions_) == sorted(KINDS) and frame.neighbours(6) == []
    water = frame.tile(Samples.of([KNOWN[0]]))
    assert len(water.rows[Bonds("pair", 8, 8)]) == 0
    for key, x in frame.products(water, Bonds("pair", 8, 8)).items():
        assert x.shape == (frame.trees_[Bonds("pair", 8, 8)].n_features(key), 0)


def test_one_bond_alone_has_variables_of_its_neighbourhood_only():
    """What never changes in training is no variable, whatever rounding says."""
    hydrogen = fitted([Atoms("HH", [[0.1, 0.2, 0.3], [0.3, 0.5, 0.9]])], kinds=[Bonds("pair", 1, 1)])
    assert len(hydrogen.contractions_[Bonds("pair", 1, 1)].charges) == 0
    assert hydrogen.trees_[Bonds("pair", 1, 1)].n_features((0, 1)) == 0


@pytest.mark.parametrize("formula", ["CO2", "HCN"])
def test_linear_molecules_have_no_charged_variables(formula):
    positions = {"CO2": [[0, 0, 0], [0, 0, 1.16], [0, 0, -1.16]], "HCN": [[0, 0, -1.06], [0, 0, 0], [0, 0, 1.15]]}
    rng = np.random.default_rng(0)
    base = Atoms(formula, positions[formula])
    axial = [rotate(translate(base, np.zeros(3)), random_rotation(rng)) for _ in range(3)]
    for atoms in axial:
        atoms.positions *= rng.uniform(0.9, 1.1)
    frame = fitted(axial, kinds=[Bonds("pair", 6, int(max(base.numbers)))])
    (contraction,) = frame.contractions_.values()
    assert set(contraction.charges) == {0}


def test_state_is_all_there_is(frame):
    again = BondFrame.from_state(SMALL, frame.state() | {"other": torch.zeros(1)})
    for kind in KINDS:
        assert again.trees_[kind].keys == frame.trees_[kind].keys
        for key, x in products(frame, NEW, kind).items():
            np.testing.assert_array_equal(products(again, NEW, kind)[key], x)
    assert again.max_l == frame.max_l == 2


def test_weights_of_other_products_are_refused(frame):
    """Those of a version that chose others."""
    state = frame.state()
    name = next(key for key in state if key.endswith(".products"))
    with pytest.raises(ArtifactError, match="train it again"):
        BondFrame.from_state(SMALL, state | {name: state[name].flip(0)})
