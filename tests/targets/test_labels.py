import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from properties import labelled, molecules

from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.config import TargetSettings
from hamlearn.errors import StructureError
from hamlearn.targets.composition import Baseline, baseline_kind
from hamlearn.targets.labels import components, in_own_shape, read_labels
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def target(key="x", **settings):
    return TargetSettings(kind="property", key=key, **settings)


def with_info(*values, key="x"):
    return [Atoms("He", info={key: value}) for value in values]


def test_vectors_are_read_in_the_order_of_the_harmonics():
    labels = read_labels(with_info([1.0, 2.0, 3.0]), target(l=1))
    np.testing.assert_array_equal(labels.values, [[2.0, 3.0, 1.0]])
    np.testing.assert_array_equal(in_own_shape(labels.values, 1), [[1.0, 2.0, 3.0]])


@pytest.mark.parametrize("l", [1, 2])
def test_components_of_products_of_a_vector_are_its_harmonics(l):
    import torch

    r = np.random.default_rng(0).normal(size=(6, 3))
    tensors = r if l == 1 else r[:, :, None] * r[:, None]
    values = tensors.reshape(6, -1) @ components(l, tensors[0].size).T
    harmonics = spherical_harmonics(torch.from_numpy(r), l).numpy()[:, l * l :]
    harmonics = harmonics * np.linalg.norm(r, axis=1)[:, None] ** l
    factor = values[0, 0] / harmonics[0, 0]
    assert factor > 0
    np.testing.assert_allclose(values, factor * harmonics, atol=10 * EXACT)


def test_tensors_split_into_trace_and_the_rest():
    a = np.random.default_rng(1).normal(size=(3, 3))
    a += a.T
    structures = with_info(a, a.ravel())
    assert read_labels(structures, target()).values[:, 0] == pytest.approx(np.trace(a))
    rest = in_own_shape(read_labels(structures, target(l=2)).values, 2)
    np.testing.assert_allclose(rest[0], a - np.trace(a) / 3 * np.eye(3), atol=EXACT)
    np.testing.assert_array_equal(rest[0], rest[1])


def test_scalars_of_any_kind_of_number():
    labels = read_labels(with_info(1, 2.5, np.float32(3), np.array([4.0])), target())
    np.testing.assert_array_equal(labels.values[:, 0], [1, 2.5, 3, 4])


def test_energies_and_forces_in_a_calculator_are_found():
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.7]])
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, forces=[[0, 0, 0.1], [0, 0, -0.1]])
    labels = read_labels([atoms], target("energy", forces_key="forces"))
    assert labels.values.tolist() == [[-1.5]]
    np.testing.assert_array_equal(labels.forces, [[0, 0, 0.1], [0, 0, -0.1]])


@pytest.mark.parametrize(
    ("values", "settings", "words"),
    [
        ([1.0, None], {}, r"1 of 2 structures .*: 1; structure 1: key 'x' is missing; there is none at all"),
        ([1.0, np.nan], {}, "structure 1: 'x' is nan, not finite"),
        ([1.0, np.float64(np.nan)], {}, "structure 1: 'x' is nan, not finite"),
        ([np.array([np.inf])], {}, r"structure 0: 'x' is \[inf\], not finite"),
        ([(np.float64(1), np.int64(2))], {}, r"'x' is \[1.0, 2\], expected 1 or 9 numbers"),
        ([1.0, "1.0"], {}, "structure 1: 'x' is '1.0', expected 1 or 9 numbers for l = 0"),
        ([True, 1.0], {}, "structure 0: 'x' is True"),
        ([[1.0, 2.0]], {}, "expected 1 or 9 numbers"),
        ([[1.0, 2.0]], {"l": 1}, "expected 3 numbers for l = 1"),
        ([[1.0, 2.0, np.inf]], {"l": 1}, "not finite"),
        ([[1.0, 2.0, 3.0]], {"l": 2}, "expected 9 numbers for l = 2"),
    ],
)
def test_unusable_labels_are_refused_with_their_places(values, settings, words):
    with pytest.raises(StructureError, match=words):
        read_labels(with_info(*values), target(**settings))


def test_a_misspelt_key_is_told_with_what_there_is_and_the_names_of_the_structures():
    with pytest.raises(
        StructureError,
        match=r"7, 9; structure 7: key 'enrgy' is missing; set target.key to one of .*energy.*; did you mean 'energy'",
    ):
        read_labels(labelled(molecules(2)), target("enrgy"), [7, 9])


def test_a_key_of_another_kind_is_told_as_such():
    structures = labelled(molecules(2))
    with pytest.raises(StructureError, match=r"'forces' is there, but of the atoms: it has shape \(3, 3\)"):
        read_labels(structures, target("forces", l=1))
    with pytest.raises(StructureError, match=r"'energy' is there, but of the whole structure: it is .*a row per atom"):
        read_labels(structures, target("energy", forces_key="energy"))
    with pytest.raises(StructureError, match=r"'x' has shape \(4, 5\), expected 1 or 9 numbers"):
        read_labels(with_info(np.zeros((4, 5))), target())


def test_bad_forces_are_refused():
    structures = labelled(molecules(3))
    settings = target("energy", forces_key="forces")
    del structures[1].arrays["forces"]
    with pytest.raises(
        StructureError, match=r"structure 1: key 'forces' is missing; set target\.forces_key to one of alpha, dipole"
    ):
        read_labels(structures, settings)
    structures[1].arrays["forces"] = np.full((4, 3), np.nan)
    with pytest.raises(StructureError, match="structure 1: 'forces' is not finite"):
        read_labels(structures, settings)
    structures[1].info["forces"] = structures[1].arrays.pop("forces")
    structures[1].calc = SinglePointCalculator(structures[1], forces=np.zeros((2, 3)))
    with pytest.raises(StructureError, match=r"'forces' has shape \(2, 3\), not an array of \(4, 3\) numbers"):
        read_labels(structures, settings)


def test_composition_baseline_finds_energies_of_elements():
    structures = [Atoms(formula) for formula in ("H2O", "CH4", "CO", "H2")]
    energies = np.array([2 * 1.0 + 3.0, 2.0 + 4 * 1.0, 2.0 + 3.0, 2 * 1.0])
    baseline = Baseline("composition").fit(structures, energies)
    assert baseline.coefficients_ == pytest.approx({1: 1.0, 6: 2.0, 8: 3.0})
    np.testing.assert_allclose(baseline.values([Atoms("C2H6O")]), [2 * 2 + 6 + 3], atol=10 * EXACT)


def test_a_composition_that_is_not_determined_gets_the_shortest_solution():
    baseline = Baseline("composition").fit([Atoms("H2O")] * 3, np.array([5.0, 5.0, 5.0]))
    assert baseline.coefficients_ == pytest.approx({1: 2.0, 8: 1.0})


def test_other_baselines():
    structures, values = [Atoms("H2"), Atoms("O2")], np.array([1.0, 4.0])
    np.testing.assert_array_equal(Baseline("mean").fit(structures, values).values(structures), [2.5, 2.5])
    np.testing.assert_array_equal(Baseline("none").fit(structures, values).values(structures), [0, 0])
    assert [baseline_kind(target(l=l, sigma=s)) for l, s in ((0, 1), (0, -1), (1, 1))] == [
        "composition",
        "none",
        "none",
    ]
    assert baseline_kind(target(baseline="mean")) == "mean"
