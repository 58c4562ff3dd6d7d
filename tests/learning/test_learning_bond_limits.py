"""Edges of ridge regression in the frames of bonds: atoms without bonds, linear molecules, and what is refused."""

import warnings

import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import BondFrameFeatures, PropertyTarget, RidgeSettings, TargetSettings
from hamlearn.errors import ConfigError, DomainError, HamlearnWarning
from hamlearn.features.bond_frame import BondFrame
from hamlearn.features.bond_rows import Bonds
from hamlearn.job import SILENT
from hamlearn.learning import bond_budget
from hamlearn.learning.bond_problems import PairProblem
from hamlearn.learning.limits import refuse_beyond
from hamlearn.learning.registry import new_learner
from hamlearn.structures import random_rotation, rotate
from hamlearn.testing.exact_problems import MatrixProblem, small_molecules

SMALL = BondFrameFeatures(max_l=2, max_n=3, max_channels=6, threshold=1e-5, max_features=150)
PLAIN = RidgeSettings(features=SMALL)
BARS = PLAIN.model_copy(update={"error_bars": True})
PROBLEM = MatrixProblem()
KNOWN, NEW = small_molecules(10), small_molecules(4, seed=1)


def with_features(**changes):
    return RidgeSettings(features=SMALL.model_copy(update=changes))


def fit(structures=KNOWN, section=PLAIN, held_out=False, problem=PROBLEM):
    return new_learner(section).fit(structures, problem.encode(structures)[1], SILENT, held_out)


@pytest.fixture(scope="module")
def learner():
    return fit(section=BARS, held_out=True)


def values(learner, structures):
    return learner.predict(structures, SILENT).values()


def test_single_atoms_and_atoms_far_apart_are_fine():
    """Sites without bonds are their mean; pairs beyond every cut-off are zero, in training and later."""
    far = Atoms("OHH", [[0, 0, 0], [0, 0, 11.0], [0, 12.0, 0]])
    alone = [Atoms("O", [[0.1, 0.2, 0.3]])]
    with pytest.warns(HamlearnWarning, match=r"O \(L = 0\), .*: no atom is closer than .*bond_cutoff_angstrom = 2\.4"):
        found = fit([*alone, far], section=BARS)
    answers = found.predict_with_covariance([*alone, far], SILENT)
    task, _ = PROBLEM.encode([*alone, far])
    for atoms, label in zip(alone, PROBLEM.labels(alone), strict=True):
        (matrix,) = PROBLEM.decode(task, found.predict([atoms], SILENT), [atoms])
        assert np.abs(matrix - label).max() < 0.5
    for group, rows in answers.values().items():
        if group.family.kind != "on_site":
            assert not rows.any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "atoms",
    [
        Atoms("HH", [[0, 0, 0], [0, 0.3, 0.7]]),
        Atoms("OCO", [[0, 0, -1.16], [0, 0, 0], [0, 0, 1.16]]),
        Atoms("HCN", [[0, 0, -1.06], [0, 0, 0], [0, 0, 1.15]]),
        Atoms("He", [[0, 0, 0]]),
    ],
)
def test_linear_molecules_and_atoms_are_reproduced(atoms):
    for structures in ([atoms], [rotate(atoms, random_rotation(np.random.default_rng(k))) for k in range(4)]):
        task, encoded = PROBLEM.encode(structures)
        found = new_learner(PLAIN).fit(structures, encoded, SILENT)
        some = structures[:1]
        (matrix,) = PROBLEM.decode(task, found.predict(some, SILENT), some)
        np.testing.assert_allclose(matrix, PROBLEM.labels(some)[0], atol=1e-5)


def test_families_that_do_not_occur_in_a_molecule_are_fine(learner):
    """Waters have no O-O, and bonds of kinds seen in training may be missing."""
    stretched = Atoms("OHH", [[0, 0, 0], [0, 0, 0.97], [0, 0, -3.3]])
    for group, rows in values(learner, [stretched, KNOWN[0]]).items():
        assert np.isfinite(rows).all() and len(rows) == group.n_rows(stretched.numbers) + group.n_rows(KNOWN[0].numbers)


def test_elements_and_pairs_that_were_not_there_are_refused(learner):
    waters = fit(KNOWN[::2])
    with pytest.raises(DomainError, match=r"structure 1 \(H2O2\): pair O-O not in the training set"):
        waters.predict([NEW[0], NEW[1]], SILENT)


def test_thresholds_that_keep_nothing_are_told():
    words = r"H-O \(\|M\| = 0\), .*: no product of variables reaches model\.features\.threshold = 0\.9; .*: lower it"
    with pytest.warns(HamlearnWarning, match=words):
        fit(section=with_features(threshold=0.9))


def test_a_plan_that_is_too_large_names_the_largest_that_fits(monkeypatch):
    """Before anything is computed; and that one fits."""
    tight = PLAIN.model_copy(update={"memory_gb": 5e-4})
    monkeypatch.setattr(BondFrame, "fit", lambda *_: pytest.fail("too late"))
    with pytest.raises(ConfigError, match=r"max_features = 150 need .* GB, more than memory_gb = 0\.0005") as refused:
        fit(section=tight)
    words = str(refused.value)
    largest = int(words.rpartition("set model.features.max_features: ")[2].split()[0])
    assert "raise memory_gb or set" in words and "error_bars" not in words
    targets = PROBLEM.encode(KNOWN)[1].n_targets
    for n, fits in ((largest, True), (largest + 1, False)):
        changed = with_features(max_features=n).model_copy(update={"memory_gb": 5e-4})
        if fits:
            new_learner(changed).check(KNOWN, targets)
        else:
            with pytest.raises(ConfigError, match=f"max_features: {largest}"):
                new_learner(changed).check(KNOWN, targets)
    bars = tight.model_copy(update={"error_bars": True})
    with pytest.raises(ConfigError, match=r"or drop model\.error_bars"):
        new_learner(bars).check(KNOWN, targets, held_out=True)


def test_advice_where_the_number_is_left_open_works():
    """Both that of a number of features and that of the memory, followed to the letter."""
    targets = PROBLEM.encode(KNOWN)[1].n_targets
    tight = with_features(max_features=None).model_copy(update={"memory_gb": 1e-3})
    with pytest.raises(ConfigError, match=r"500, the fewest of use, need .*kind: bond_frame") as refused:
        new_learner(tight).check(KNOWN, targets)
    words = str(refused.value)
    largest = int(words.rpartition("set model.features.max_features: ")[2].split(",")[0])
    new_learner(with_features(max_features=largest).model_copy(update={"memory_gb": 1e-3})).check(KNOWN, targets)
    with pytest.raises(ConfigError, match=f"max_features: {largest}$"):
        more = with_features(max_features=largest + 1).model_copy(update={"memory_gb": 1e-3})
        new_learner(more).check(KNOWN, targets)
    enough = float(words.partition(" need ")[2].split()[0])
    new_learner(tight.model_copy(update={"memory_gb": enough})).check(KNOWN, targets)


@pytest.mark.parametrize(("needed", "said"), [(0.0861, "0.087"), (4.7001, "4.8"), (0.012, "0.012"), (12.5, "13")])
def test_memory_that_is_named_is_enough(needed, said):
    with pytest.raises(ConfigError, match=f"fits need {said} GB, more than memory_gb = 0.001; raise it"):
        refuse_beyond(1e-3, needed, "fits need", "raise it")


def test_memory_that_holds_no_feature_at_all_must_be_raised():
    with pytest.raises(ConfigError, match=r"; raise memory_gb$"):
        fit(section=PLAIN.model_copy(update={"memory_gb": 1e-9}))


def test_error_bars_need_two_structures():
    with pytest.raises(ConfigError, match="error bars need structures that can be left out, but there is 1"):
        fit(KNOWN[:1], section=BARS, held_out=True)


def test_settings_that_do_not_go_together_are_refused():
    for changes, words in (
        ({"max_features": 5}, r"those of kind bond_frame are chosen as they are made: set features\.max_features"),
        ({"features_by": "cur", "max_features": 3}, r"set features\.max_features"),
    ):
        with pytest.raises(ConfigError, match=words):
            RidgeSettings(features=SMALL, **changes)
    with pytest.raises(ConfigError, match=r"bond_cutoff_angstrom 5\.0 must exceed .* not exceed cutoff_angstrom 4\.5"):
        BondFrameFeatures(bond_cutoff_angstrom=5.0)
    with pytest.raises(ConfigError, match=r"max_nu_pair: must be at least 1, got 0"):
        BondFrameFeatures(max_nu_pair=0)
    with pytest.raises(ConfigError, match=r"kind bond_frame learns matrices, got target\.kind property; use"):
        PLAIN.check_target(PropertyTarget(key="energy"))
    PLAIN.check_target(TargetSettings(kind="fock"))


def test_there_are_problems_of_every_m():
    """One for every pair of elements, |M|, and symmetry under mirrors and exchange."""
    groups = list(PROBLEM.encode(KNOWN)[1].n_targets)
    problems = fit().problems_
    pairs = [p for p in problems if isinstance(p, PairProblem)]
    assert len({(p.kind, p.key, p.eta) for p in pairs}) == len(pairs)
    assert sum(len(p.groups) for p in pairs) == sum(g.L + 1 for g in groups if g.family.kind != "on_site")


def test_elements_with_fewer_neighbours_may_stand_alone():
    """Variables are those of training, whatever the widest density of the molecules that are asked."""
    structures = [
        Atoms("CO", [[0, 0, 0], [0, 0, 1.13 + 0.01 * k]])
        if k % 2
        else Atoms("HCN", [[0, 0, -1.06], [0, 0, 0], [0, 0, 1.15 + 0.01 * k]])
        for k in range(8)
    ]
    encoded = PROBLEM.encode(structures)[1]
    learner = new_learner(PLAIN).fit(structures, encoded, SILENT)
    together = learner.predict(structures, SILENT).values()
    apart = [learner.predict([atoms], SILENT).values() for atoms in structures]
    for group, rows in together.items():
        np.testing.assert_allclose(np.concatenate([own[group] for own in apart]), rows, rtol=0, atol=1e-12)


def test_lone_atoms_have_a_value_of_their_own():
    """Beside bonded ones of the same element."""
    structures = [Atoms("He2", [[0, 0, 0], [0, 0, 1.4 + 0.1 * k]]) for k in range(6)]
    structures += [Atoms("He", [[0, 0, 0]]) for _ in range(3)]
    encoded = PROBLEM.encode(structures)[1]
    learner = new_learner(PLAIN).fit(structures, encoded, SILENT)
    for group, rows in learner.predict(structures[-1:], SILENT).values().items():
        if group.family.kind == "on_site" and group.irrep == (0, 1):
            np.testing.assert_allclose(rows, encoded.values[group][-1:], rtol=0, atol=1e-3)


def test_pairs_closer_than_any_in_training_are_refused():
    """Where training had none within the cut-off."""
    far = [Atoms("He2", [[0, 0, 0], [0, 0, 12.0 + 0.1 * k]]) for k in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learner = new_learner(PLAIN).fit(far, PROBLEM.encode(far)[1], SILENT)
        learner.predict(far, SILENT)
        with pytest.raises(DomainError, match="structure 0: He-He"):
            learner.predict([Atoms("He2", [[0, 0, 0], [0, 0, 6.0]])], SILENT)


def test_numbers_of_features_that_are_left_open(monkeypatch):
    """As usual for many samples, twice as many for few, as memory holds; the model says so when it comes back."""
    monkeypatch.setattr(bond_budget, "MOST_PRODUCTS", 12)  # 5 O-O, 30 O-H
    targets, kinds = PROBLEM.encode(KNOWN)[1].n_targets, [Bonds("pair", 1, 8), Bonds("pair", 8, 8)]
    section = with_features(max_features=None)
    budget = bond_budget.BondBudget(section, section.features)
    assert budget.most(KNOWN, targets, False, kinds) == {kinds[0]: 12, kinds[1]: 24}
    half = 0.5 * budget._needed(KNOWN, targets, False, is_open=True)(24)
    tight = bond_budget.BondBudget(section.model_copy(update={"memory_gb": half}), section.features)
    found = tight.most(KNOWN, targets, False, kinds)
    assert 0 < found[kinds[0]] <= 12 and found[kinds[1]] < 24
    assert bond_budget.BondBudget(PLAIN, SMALL).most(KNOWN, targets, False, kinds) == {}
    learner = fit(section=section)
    largest = {kind: max(map(tree.n_features, tree.keys)) for kind, tree in learner.frame_.trees_.items()}
    assert largest[kinds[0]] <= 12 < largest[kinds[1]] <= 24
    again = type(learner).from_state(section, targets, *learner.state())
    assert again.frame_.most_ == learner.frame_.most_
