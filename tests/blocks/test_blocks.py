from dataclasses import replace

import numpy as np
import pytest
from bare_pyscf import bare_mole
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.blocks import BlockKey, assemble_matrices, block_keys, split_matrices
from hamlearn.errors import BasisError
from hamlearn.structures import molecule, random_rotation
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
MINIMAL = {1: ((1, 0),), 6: ((2, 0), (2, 1)), 7: ((2, 0), (2, 1)), 8: ((2, 0), (2, 1))}
DEF2_SVP = {1: ((1, 0), (2, 0), (2, 1)), **dict.fromkeys((6, 7, 8), ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)))}


def orbitals_of(shells):
    """Orbitals in canonical order, but p in PySCF's."""
    index = {}
    for z, listed in shells.items():
        start, index[z] = 0, []
        for _, l in listed:
            index[z] += [start + m for m in ((1, 2, 0) if l == 1 else range(2 * l + 1))]
            start += 2 * l + 1
    return Orbitals(shells, {z: tuple(i) for z, i in index.items()})


def symmetric(rng, n):
    matrix = rng.normal(size=(n, n))
    return matrix + matrix.T


@pytest.mark.parametrize(
    ("species", "shells", "coupled", "uncoupled"),
    [
        ((1, 8), MINIMAL, 14, 12),
        ((1, 6, 8), MINIMAL, 32, 26),
        ((1, 6, 7, 8), MINIMAL, 56, 44),
        ((1, 6, 7, 8), DEF2_SVP, 519, 358),
    ],
)
def test_number_of_blocks(species, shells, coupled, uncoupled):
    """Water, ethanol and CHNO as counted in J. Chem. Phys. 156, 014115 (2022) and its example scripts."""
    keys = block_keys(orbitals_of({z: shells[z] for z in species}))
    assert len(keys) == len(set(keys)) == coupled
    assert len({(k.kind, k.species_i, k.species_j, k.shell_a, k.shell_b) for k in keys}) == uncoupled


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([1, 6, 7, 8, 16]),
        st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=4, unique=True),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 2**32 - 1),
)
def test_round_trip_and_norm(shells, seed):
    """Any species, any shells from s to g, molecules of different sizes at once."""
    rng = np.random.default_rng(seed)
    orbitals = orbitals_of({z: tuple(sorted(listed)) for z, listed in shells.items()})
    numbers = [rng.choice(sorted(shells), size=n) for n in (1, 4, 3)]
    matrices = [symmetric(rng, orbitals.n_ao(z)) for z in numbers]
    blocks = split_matrices(matrices, numbers, orbitals)
    for before, after in zip(matrices, assemble_matrices(blocks, numbers, orbitals), strict=True):
        np.testing.assert_allclose(after, before, atol=EXACT)
    norm = sum(key.multiplicity * (values**2).sum() for key, values in blocks.values.items())
    np.testing.assert_allclose(norm, sum((m**2).sum() for m in matrices), rtol=EXACT)


def test_vanishing_blocks_are_absent():
    keys = block_keys(orbitals_of(DEF2_SVP))
    like = [k for k in keys if k.shell_a == k.shell_b and k.kind != "cross"]
    assert all((1 if k.kind == "minus" else 0) == k.L % 2 for k in like)
    assert all(k.sigma == (-1 if k.kind == "minus" else 1) for k in like)
    assert BlockKey("minus", 1, 1, (2, 1), (2, 1), 1, -1) in keys
    assert not any(k.kind == "minus" and k.shell_a == k.shell_b == (1, 0) for k in keys)


@pytest.mark.parametrize("improper", [False, True])
def test_blocks_of_a_rotated_overlap(improper, hydrogen_peroxide):
    """h(R A) = s D^L h(A), from PySCF overlaps."""
    from hamlearn.structures import rotate

    rotation = random_rotation(np.random.default_rng(2), improper)
    mole = bare_mole(hydrogen_peroxide, "def2-svp")
    orbitals, numbers = Orbitals.from_mole(mole), [hydrogen_peroxide.numbers]
    before = split_matrices([mole.intor("int1e_ovlp")], numbers, orbitals)
    turned = bare_mole(rotate(hydrogen_peroxide, rotation), "def2-svp").intor("int1e_ovlp")
    after = split_matrices([turned], numbers, orbitals)
    d = real_wigner_d(rotation, 4)
    assert any(np.abs(v).max() > 1e-3 for k, v in before.values.items() if k.sigma == -1 or k.L == 3)
    for key, values in before.values.items():
        sign = key.sigma if improper else 1
        expected = sign * values @ d[key.L].T
        np.testing.assert_allclose(after.values[key], expected, atol=TOLERANCE["float64"]["equivariance"])


def test_exchange_of_like_atoms():
    """plus blocks are even and minus blocks odd when the two atoms of a pair change places."""
    rng, orbitals = np.random.default_rng(0), orbitals_of({8: DEF2_SVP[8]})
    numbers = np.array([8, 8])
    matrix, index = symmetric(rng, 28), ao_permutation(orbitals, numbers, [1, 0])
    before = split_matrices([matrix], [numbers], orbitals)
    after = split_matrices([matrix[np.ix_(index, index)]], [numbers], orbitals)
    for key, values in before.values.items():
        if key.kind == "on_site":
            np.testing.assert_allclose(after.values[key], values[::-1], atol=EXACT)
        else:
            np.testing.assert_allclose(after.values[key], (1 if key.kind == "plus" else -1) * values, atol=EXACT)


def test_permutation_of_atoms():
    rng, orbitals = np.random.default_rng(4), orbitals_of(MINIMAL)
    numbers, order = np.array([1, 6, 8, 1, 6]), np.array([4, 2, 3, 1, 0])
    matrix, index = symmetric(rng, orbitals.n_ao(numbers)), ao_permutation(orbitals, numbers, order)
    shuffled = [matrix[np.ix_(index, index)]]
    blocks = split_matrices(shuffled, [numbers[order]], orbitals)
    back = assemble_matrices(blocks, [numbers[order]], orbitals)
    np.testing.assert_allclose(back[0], shuffled[0], atol=EXACT)
    norms = [
        {k: np.linalg.norm(v) for k, v in b.values.items()}
        for b in (blocks, split_matrices([matrix], [numbers], orbitals))
    ]
    assert norms[0] == pytest.approx(norms[1])


def test_antisymmetric_part_is_removed():
    orbitals, numbers = orbitals_of(MINIMAL), [np.array([1, 8])]
    matrix = np.random.default_rng(0).normal(size=(5, 5))
    back = assemble_matrices(split_matrices([matrix], numbers, orbitals), numbers, orbitals)[0]
    np.testing.assert_allclose(back, (matrix + matrix.T) / 2, atol=EXACT)


def test_blocks_of_an_isotropic_atom_are_scalars():
    """On-site blocks of S are the identity: only L = 0 of like shells survives."""
    atoms = molecule("water")
    mole = bare_mole(atoms, "sto-3g")
    blocks = split_matrices([mole.intor("int1e_ovlp")], [atoms.numbers], Orbitals.from_mole(mole))
    for key, values in blocks.values.items():
        if key.kind == "on_site" and key.L > 0:
            np.testing.assert_allclose(values, 0, atol=EXACT)


def test_rotation_matrix_is_orthogonal():
    t = ao_rotation(orbitals_of(DEF2_SVP), [1, 8], random_rotation(np.random.default_rng(0), True))
    np.testing.assert_allclose(t @ t.T, np.eye(len(t)), atol=EXACT)


def test_wrong_size_is_refused():
    with pytest.raises(BasisError, match=r"matrix 0 has shape \(3, 3\); its molecule has 5 orbitals"):
        split_matrices([np.eye(3)], [np.array([1, 8])], orbitals_of(MINIMAL))


def test_unknown_species_is_refused():
    with pytest.raises(BasisError, match=r"elements \[9\]"):
        split_matrices([np.eye(3)], [np.array([9, 8])], orbitals_of(MINIMAL))


def test_channels_are_split_and_assembled_side_by_side():
    """Two matrices of each molecule, such as those of two spins: the blocks of either are those of it alone."""
    rng, orbitals = np.random.default_rng(6), orbitals_of(MINIMAL)
    numbers = [np.array([1, 8, 1]), np.array([6, 1, 1])]
    matrices = [np.stack([symmetric(rng, orbitals.n_ao(z)) for _ in range(2)]) for z in numbers]
    blocks = split_matrices(matrices, numbers, orbitals)
    for channel in (0, 1):
        alone = split_matrices([m[channel] for m in matrices], numbers, orbitals)
        assert len(alone.values) == len(blocks.values) / 2
        for key, values in alone.values.items():
            assert key.channel == 0
            np.testing.assert_array_equal(blocks.values[replace(key, channel=channel)], values)
    for before, after in zip(matrices, assemble_matrices(blocks, numbers, orbitals), strict=True):
        assert after.shape == before.shape
        np.testing.assert_allclose(after, before, atol=EXACT)
    one = assemble_matrices(split_matrices([m[:1] for m in matrices], numbers, orbitals), numbers, orbitals)
    assert one[0].shape == matrices[0].shape[1:]


@pytest.mark.parametrize("second", [np.zeros((5, 5)), np.zeros((3, 5, 5)), np.zeros((1, 2, 5, 5))])
def test_matrices_of_different_channels_are_refused(second):
    with pytest.raises(BasisError, match=r"matrix 1 has shape .* as many channels in every matrix"):
        split_matrices([np.zeros((2, 5, 5)), second], [np.array([1, 8])] * 2, orbitals_of(MINIMAL))


def test_no_structures_have_no_blocks():
    blocks = split_matrices([], [], orbitals_of(MINIMAL))
    assert all(len(values) == 0 for values in blocks.values.values())
    assert assemble_matrices(blocks, [], orbitals_of(MINIMAL)) == []
