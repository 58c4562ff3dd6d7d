"""Models of matrices: every target by every learner, their symmetry, and what is refused."""

from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from water_models import FEATURES, KERNELS, LEARNERS, QM, RIDGE, TARGETS, targets_of, trained, with_bars

from hamlearn.config import FockTarget, KernelRidgeSettings, PropertyTarget, QMSettings, RidgeSettings, SaphTarget
from hamlearn.errors import ConfigError, DomainError, HamlearnWarning, StructureError
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.observables import metrics, reference_prediction
from hamlearn.structures import invert, permute, random_rotation, rotate, translate
from hamlearn.targets import load_targets, save_targets
from hamlearn.testing import TOLERANCE, assert_equivariant

EQUIVARIANCE = TOLERANCE["float64"]["equivariance"]
BOUNDS = {"ridge": EQUIVARIANCE, "full": 1e-6, "sparse": 1e-6}
"""On what symmetry leaves, Hartree: weights of kernels are large where data are noiseless, and rounding with them."""


CASES = [(name, "ridge") for name in TARGETS]
CASES += [(name, "full") for name in ("lowdin", "fock", "nonorthogonal", "valence", "minao")]
CASES += [(name, "sparse") for name in ("saph", "fock_delta")]


@pytest.mark.parametrize(("name", "learner"), CASES)
def test_every_target_is_learned_and_equivariant(name, learner, waters, records):
    """Better than the mean of the training set by far, and exactly symmetric."""
    fitted = trained(name, waters, records, 18, LEARNERS[learner])
    targets = targets_of(name, records[18:24])
    errors = metrics(fitted.predict(waters[18:24]), targets)
    spread = np.std([reference_prediction(t).gap_ev for t in targets]) * 1e3
    assert errors["gap_rmse_mev"] < 0.2 * spread
    assert_equivariant(fitted, waters[18:24], tolerance=BOUNDS[learner])


@pytest.mark.parametrize("learner", LEARNERS)
def test_symmetries_one_by_one(saph, water, learner):
    """Spectra do not change when the molecule is turned, inverted, moved, or its hydrogens swapped."""
    moved = [
        rotate(water, random_rotation(np.random.default_rng(0))),
        invert(water),
        translate(water, [3.0, -1.0, 7.0]),
        permute(water, [0, 2, 1]),
    ]
    model = saph[learner]
    reference = model.predict([water])[0].eigenvalues_ev
    for prediction in model.predict(moved):
        np.testing.assert_allclose(prediction.eigenvalues_ev, reference, atol=30 * BOUNDS[learner])
    swapped = model.predict([moved[3]])[0].hamiltonian
    plain = model.predict([water])[0].hamiltonian
    order = [0, 1, 2, 3, 5, 4]
    np.testing.assert_allclose(swapped, plain[np.ix_(order, order)], atol=BOUNDS[learner])
    assert np.abs(swapped - plain).max() > 1e-3


@pytest.mark.parametrize("learner", LEARNERS)
def test_predictions_are_hermitian_and_do_not_depend_on_company(saph, waters, learner):
    model = saph[learner]
    together = model.predict(waters)
    alone = [model.predict([atoms])[0] for atoms in waters[:3]]
    for a, b in zip(together, alone, strict=False):
        np.testing.assert_allclose(a.hamiltonian, a.hamiltonian.T, atol=0)
        np.testing.assert_allclose(a.hamiltonian, b.hamiltonian, atol=0.1 * BOUNDS[learner])


def test_structures_come_in_any_form(saph, waters, tmp_path):
    model = saph["ridge"]
    (expected,) = model.predict(waters[20:21])
    ase.io.write(tmp_path / "water.extxyz", waters[20])
    for given in (waters[20], (waters[20],), iter([waters[20]])):
        assert model.predict(given) == [expected]
    for path in (tmp_path / "water.extxyz", str(tmp_path / "water.extxyz")):
        (found,) = model.predict(path)  # files hold eight digits
        np.testing.assert_allclose(found.eigenvalues_ev, expected.eigenvalues_ev, atol=1e-5)
    with pytest.raises(StructureError, match=r"expected the path of a file, an ase\.Atoms, or a list of ase\.Atoms"):
        model.predict(5)


def test_training_structures_come_in_any_form(waters, records, tmp_path):
    targets = targets_of("saph", records[:3])
    ase.io.write(tmp_path / "waters.extxyz", waters[:3])
    listed, from_file = (
        HamiltonianModel(QM, model=RIDGE).fit(given, targets) for given in (waters[:3], tmp_path / "waters.extxyz")
    )
    a, b = listed.predict(waters[3]), from_file.predict(waters[3])
    np.testing.assert_allclose(a[0].eigenvalues_ev, b[0].eigenvalues_ev, atol=1e-3)
    assert HamiltonianModel(QM, model=RIDGE).fit(waters[0], targets[:1]).training_["n_structures"] == 1


def test_the_score_is_minus_the_error_of_the_levels(waters, records):
    """Also of a delta model; nothing is computed again, since targets hold metric and baseline."""
    fitted = trained("fock_delta", waters, records, 10)
    targets = targets_of("fock_delta", records[30:34])
    errors = np.concatenate(
        [
            a.eigenvalues_ev - reference_prediction(b).eigenvalues_ev
            for a, b in zip(fitted.predict(waters[30:34]), targets, strict=True)
        ]
    )
    assert fitted.score(waters[30:34], targets) == pytest.approx(-np.sqrt(np.mean(errors**2)), rel=1e-6)


def test_every_block_has_a_regularisation(saph):
    for model in saph.values():
        alphas = model.alpha_of_block()
        assert list(alphas) == [key for keys in model.task_.keys.values() for key in keys]
        assert all(0 < alpha <= 1 for alpha in alphas.values())


# -- refusals


def test_no_structures_are_refused(saph):
    with pytest.raises(StructureError, match="no structures were given"):
        saph["ridge"].predict([])
    with pytest.raises(StructureError, match="the training set: no structures were given"):
        HamiltonianModel(QM).fit([], [])


@pytest.mark.parametrize(
    ("atoms", "error", "words"),
    [
        (Atoms("SHH", [[0, 0, 0], [0.9, 0, 0.9], [-0.9, 0, 0.9]]), DomainError, "element S"),
        (Atoms("OO", [[0, 0, 0], [0, 0, 1.2]]), DomainError, "pair O-O"),
        (Atoms("OHH", [[0, 0, 0], [0, 0, np.nan], [0, 1, 0]]), StructureError, "finite|NaN"),
        (Atoms("OHH", [[0, 0, 0], [0, 0, 0.1], [0, 1, 0]]), StructureError, "0.3"),
        (Atoms("OH", [[0, 0, 0], [0, 0, 1]]), StructureError, "odd"),
    ],
)
def test_unacceptable_structures_name_their_index(saph, water, atoms, error, words):
    for model in saph.values():
        with pytest.raises(error, match=words) as raised:
            model.predict([water, atoms])
        assert "1" in str(raised.value)


def test_targets_must_belong_to_structures_and_settings(waters, records):
    targets = targets_of("saph", records[:2])
    with pytest.raises(ConfigError, match="give both in the same order"):
        HamiltonianModel(QM).fit([permute(a, [1, 0, 2]) for a in waters[:2]], targets)
    with pytest.raises(ConfigError, match="one target each"):
        HamiltonianModel(QM).fit(waters[:2], targets[:1])
    with pytest.raises(ConfigError, match=r"target 0 is a QMRecord; expected what hamlearn\.build_target makes"):
        HamiltonianModel(QM).fit(waters[:2], records[:2])
    for name, words in {
        "delta": "kind saph, delta minao, form orthogonal",
        "nonorthogonal": "kind saph, delta none, form nonorthogonal",
        "fock_delta": "kind fock, delta core",
    }.items():
        with pytest.raises(ConfigError, match=rf"not built with the settings of the model \({words}\)"):
            HamiltonianModel(QM, TARGETS[name]).fit(waters[:2], targets)


@pytest.mark.parametrize(
    ("qm", "target", "words"),
    [
        (QMSettings(), "saph", r"qm\.basis sto-3g rather than def2-SVP"),
        (QMSettings(method="RKS", xc="pbe", basis="sto-3g"), "saph", r"qm\.method RHF .*, qm\.xc None rather than pbe"),
        (QM, "lowdin", r"target 0 was made with target\.kind saph rather than lowdin, .*give the model the settings"),
        (QM, "valence", r"target\.virtuals lowest rather than valence, as the model has"),
    ],
)
def test_targets_made_with_other_settings_are_refused(qm, target, words, waters, records, tmp_path):
    """Also where their matrices look alike, and after they were on disk."""
    targets = targets_of("saph", records[:2])
    save_targets(tmp_path, targets)
    for known in (targets, load_targets(tmp_path)):
        with pytest.raises(ConfigError, match=words):
            HamiltonianModel(qm, TARGETS[target]).fit(waters[:2], known)


def test_targets_of_other_geometries_are_refused(waters, records):
    """Positions may be rounded and the whole shifted; a basis may be spelt in other letters."""
    targets = targets_of("saph", records[:3])
    model = HamiltonianModel(QMSettings(basis="STO3G"), model=RIDGE)
    with pytest.raises(ConfigError, match=r"target 0 is of another geometry than structure 0: an atom is .* Å from"):
        model.fit(waters[:3], targets[::-1])
    rounded = [translate(atoms, [3, 0, 1]) for atoms in waters[:3]]
    for atoms in rounded:
        atoms.positions = atoms.positions.round(6)
    assert model.fit(rounded, targets).is_fitted
    rounded[1].positions[0, 2] += 1e-5
    with pytest.raises(ConfigError, match="target 1 is of another geometry"):
        model.fit(rounded, targets)
    unknown = [replace(target, origin=None) for target in targets]
    assert model.fit(rounded, unknown).is_fitted


@pytest.mark.parametrize("model", [RIDGE, KERNELS])
def test_a_fit_that_is_refused_leaves_the_model_as_it_was(waters, records, model):
    targets = targets_of("saph", records[:6])
    fitted = HamiltonianModel(QM, model=with_bars(model)).fit(waters[:6], targets)
    before, training, factors = fitted.predict(waters[6:8]), fitted.training_, fitted.calibration_
    with pytest.raises(ConfigError, match="at least two training structures"):
        fitted.fit(waters[:1], targets[:1])
    assert fitted.predict(waters[6:8]) == before
    assert (fitted.training_, fitted.calibration_) == (training, factors)


@pytest.mark.parametrize("model", [RidgeSettings(features=FEATURES), KernelRidgeSettings(kernel=KERNELS.kernel)])
def test_pairs_beyond_the_cutoff_are_flagged(waters, records, model):
    fitted = trained("saph", waters, records, 6, model)
    far = Atoms("OHH", [[0, 0, 0], [0.9, 0, 0.3], [0, 0, 9.0]])
    with pytest.warns(HamlearnWarning, match=r"pair_cutoff_angstrom = [68].0 in 1 structure \(first: \[2\]\)"):
        fitted.predict([*waters[6:8], far])


def test_targets_that_are_no_matrix_are_refused():
    with pytest.raises(
        ConfigError, match=r"is a PropertyTarget, expected SaphTarget\(\), .*; use PropertyModel for properties"
    ):
        HamiltonianModel(target=PropertyTarget(key="energy"))
    with pytest.raises(ConfigError, match=r"target is a str, expected SaphTarget\(\), LowdinTarget"):
        HamiltonianModel(QM, "saph")
    for target in (FockTarget(), SaphTarget()):
        assert HamiltonianModel(target=target).target is target
