"""Manners of both models: parameters and scores as scikit-learn wants them, copies, processes, what they show."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from properties import FIXED, SMALL, labelled, model, molecules, target
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score, train_test_split
from sklearn.utils.validation import check_is_fitted
from water_models import FEATURES, KERNELS, LEARNERS, QM, RIDGE, TARGETS, targets_of, trained, with_bars

from hamlearn.config import KernelRidgeSettings, LowdinTarget, RidgeSettings
from hamlearn.errors import ConfigError, StructureError
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.property import PropertyModel

TRAIN, NEW = labelled(molecules(12)), labelled(molecules(4, seed=90))
OF_FEATURES = RidgeSettings(features=FEATURES)
MADE = {
    "matrix": lambda: HamiltonianModel(QM, TARGETS["saph"], RIDGE),
    "property": lambda: model(forces=True, active=5),
    "features": lambda: PropertyModel(target(), OF_FEATURES),
}


@pytest.fixture(scope="module")
def fitted(waters, records):
    return {
        "matrix": trained("saph", waters, records, 8, with_bars(RIDGE)),
        "kernels": trained("saph", waters, records, 8, with_bars(LEARNERS["sparse"])),
        "property": MADE["property"]().fit(TRAIN),
        "derivatives": model(forces=True, basis="derivatives").fit(TRAIN[:4]),
        "features": MADE["features"]().fit(TRAIN),
    }


def structures_for(fitted, waters):
    return waters[20:23] if isinstance(fitted, HamiltonianModel) else NEW


# -- parameters


@pytest.mark.parametrize("name", MADE)
def test_parameters_are_kept_as_they_are(name):
    unfitted = MADE[name]()
    parameters = unfitted.get_params()
    assert tuple(parameters) == tuple(type(unfitted).PARAMETERS) == tuple(unfitted.get_params(deep=False))
    assert all(getattr(unfitted, key) is value for key, value in parameters.items())
    assert type(unfitted)(**parameters).get_params() == parameters
    assert unfitted.set_params() is unfitted


def test_parameters_are_replaced_by_name():
    matrix = MADE["matrix"]()
    assert matrix.set_params(target=LowdinTarget(), model=KERNELS) is matrix
    assert (matrix.qm, matrix.target, matrix.model) == (QM, LowdinTarget(), KERNELS)
    with pytest.raises(ConfigError, match="HamiltonianModel has no parameter features; it has qm, target, model"):
        matrix.set_params(features=FEATURES)
    with pytest.raises(ConfigError, match=r"cannot learn target\.kind lowdin"):
        matrix.set_params(qm=QM, model=KernelRidgeSettings(kernel=SMALL))
    assert (matrix.qm, matrix.model) == (QM, KERNELS)  # all or none


def test_a_fit_changes_no_parameter(fitted):
    for some in fitted.values():
        assert set(some.get_params()) == set(type(some).PARAMETERS)
    energy = MADE["property"]()
    before = dict(energy.get_params())
    energy.fit(TRAIN[:6])
    assert all(energy.get_params()[name] is value for name, value in before.items())
    assert len(energy.learner_.fit_.weights) <= 15  # 5 atoms of each element
    energy.set_params(model=KernelRidgeSettings(kernel=FIXED, active=7))
    assert len(energy.fit(TRAIN[:6]).learner_.fit_.weights) > 15


@pytest.mark.parametrize(
    ("name", "change"),
    [("matrix", {"target": LowdinTarget()}), ("property", {"model": KernelRidgeSettings(kernel=FIXED, active=7)})],
)
def test_new_parameters_drop_the_fit(name, change, fitted, waters, tmp_path):
    """Nothing is predicted or saved beside settings it was not made with; refused ones leave the fit."""
    some, structures = copy.deepcopy(fitted[name]), structures_for(fitted[name], waters)
    before = some.predict(structures)
    with pytest.raises(ConfigError):
        some.set_params(**change, features=FEATURES)
    with pytest.raises(ConfigError):
        some.set_params(model="ridge")
    assert some.set_params().predict(structures) == before
    some.set_params(**change)
    assert vars(some) == vars(type(some)(**some.get_params())) and not some.is_fitted
    for call in (lambda: some.predict(structures), lambda: some.save(tmp_path / "model")):
        with pytest.raises(ConfigError, match="was not fitted"):
            call()


def test_wrong_learners_are_named():
    for made in (lambda: HamiltonianModel(QM, model=FEATURES), lambda: PropertyModel(target(), "ridge")):
        with pytest.raises(
            ConfigError, match=r"model is a (CoupledFeatures|str), expected .*\(kind='ridge', features="
        ):
            made()
    with pytest.raises(ConfigError, match="qm is a LowdinTarget, expected QMSettings"):
        HamiltonianModel(LowdinTarget())


# -- scikit-learn


@pytest.mark.parametrize("name", MADE)
def test_clones_have_the_parameters_and_no_fit(name, fitted):
    again = clone(fitted[name])
    assert type(again) is type(fitted[name]) and again is not fitted[name]
    assert again.get_params() == fitted[name].get_params() and not again.is_fitted
    assert is_regressor(again)
    check_is_fitted(fitted[name])
    with pytest.raises(NotFittedError):
        check_is_fitted(again)


def test_properties_are_cross_validated(fitted):
    folds = KFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(fitted["property"], TRAIN, cv=folds)
    by_hand = [
        MADE["property"]().fit([TRAIN[k] for k in rest]).score([TRAIN[k] for k in left])
        for rest, left in folds.split(TRAIN)
    ]
    np.testing.assert_allclose(scores, by_hand, rtol=1e-10)
    assert (scores > 0.8).all() and (scores <= 1).all()
    predicted = cross_val_predict(fitted["property"], TRAIN, cv=folds)
    assert len(predicted) == len(TRAIN)


@pytest.mark.parametrize(
    ("key", "l", "forces"), [("energy", 0, False), ("energy", 0, True), ("dipole", 1, False), ("alpha", 2, False)]
)
def test_given_targets_are_learned_in_place_of_those_in_the_structures(key, l, forces):
    """Forces are those of the structures, and scores need none; scores are of given targets as well."""
    some = model(key, l, forces=forces, kernel=SMALL if l else FIXED)
    y, bare = [atoms.info[key] for atoms in TRAIN], [atoms.copy() for atoms in TRAIN]
    for atoms in bare:
        del atoms.info[key]
    given, read = clone(some).fit(bare, y), clone(some).fit(TRAIN)
    for one, other in zip(given.predict(NEW, forces=forces), read.predict(NEW, forces=forces), strict=True):
        np.testing.assert_allclose(one.value, other.value, atol=1e-8)
        assert not forces or np.allclose(one.forces, other.forces, atol=1e-8)
    assert given.score(molecules(12), y) == pytest.approx(read.score(TRAIN), abs=1e-8)
    assert given.score(TRAIN, y[::-1]) < read.score(TRAIN) - 0.5
    if forces:
        for atoms in bare:
            del atoms.arrays["forces"]
        with pytest.raises(StructureError, match="key 'forces' is missing"):
            clone(some).fit(bare, y)


def test_properties_are_cross_validated_with_given_targets():
    y = np.array([atoms.info["energy"] for atoms in TRAIN])
    for targets in (y, -3 * y):
        scores = cross_val_score(model(), TRAIN, targets, cv=KFold(3))
        by_hand = [
            model().fit([TRAIN[k] for k in rest], targets[rest]).score([TRAIN[k] for k in left], targets[left])
            for rest, left in KFold(3).split(TRAIN)
        ]
        np.testing.assert_allclose(scores, by_hand, rtol=1e-9)
        assert (scores > 0.5).all()
    shuffled = np.random.default_rng(0).permutation(y)
    assert cross_val_score(model(), TRAIN, shuffled, cv=KFold(3)).mean() < 0.3


@pytest.mark.parametrize(
    ("key", "l", "y", "words"),
    [
        ("energy", 0, np.zeros(11), "there are 11 targets for 12 structures; give one for each"),
        ("energy", 0, np.zeros((12, 3)), r"have shape \[12, 3\]; expected 1 or 9 finite numbers"),
        ("energy", 0, 3.0, r"have shape \[\]; expected 1 or 9"),
        ("energy", 0, ["high"] * 12, "expected 1 or 9 finite numbers"),
        ("energy", 0, [np.nan] * 12, "expected 1 or 9 finite numbers"),
        ("dipole", 1, np.zeros(12), r"have shape \[12\]; expected 3 finite numbers"),
    ],
)
def test_targets_that_do_not_fit_the_structures_are_refused(key, l, y, words, fitted):
    for call in (lambda: model(key, l).fit(TRAIN, y), lambda: model(key, l).fit(TRAIN).score(TRAIN, y)):
        with pytest.raises(StructureError, match=words):
            call()


def test_matrices_are_cross_validated_with_their_targets(waters, records):
    targets = targets_of("saph", records[:12])
    scores = cross_val_score(MADE["matrix"](), waters[:12], targets, cv=KFold(3))
    by_hand = [
        MADE["matrix"]().fit([waters[k] for k in rest], [targets[k] for k in rest])
        .score([waters[k] for k in left], [targets[k] for k in left])
        for rest, left in KFold(3).split(targets)
    ]  # fmt: skip
    np.testing.assert_allclose(scores, by_hand, rtol=1e-9)
    assert (scores > -0.1).all() and (scores < 0).all()  # minus the error of levels, eV
    known, left = train_test_split(list(zip(waters, records, strict=True)), test_size=4, random_state=0)
    assert (len(known), len(left)) == (36, 4)


def test_settings_are_searched_on_a_grid():
    kernels = [FIXED.model_copy(update={"a": a, "c0": 0.0}) for a in (1e-9, 1e4)]
    options = [OF_FEATURES, *(KernelRidgeSettings(kernel=kernel) for kernel in kernels)]
    search = GridSearchCV(PropertyModel(target("dipole", 1)), {"model": options}, cv=KFold(3)).fit(TRAIN)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_params_["model"] == options[int(np.argmax(scores))] != options[1]
    assert search.best_estimator_.is_fitted and search.best_score_ == max(scores) > scores[1] == min(scores)
    np.testing.assert_allclose(search.score(NEW), search.best_estimator_.score(NEW))


def test_settings_of_matrices_are_searched_on_a_grid(waters, records):
    blurred = RIDGE.model_copy(update={"features": FEATURES.model_copy(update={"smearing_angstrom": 3.0})})
    options = {"model": [blurred, RIDGE], "target": [TARGETS["saph"]]}
    search = GridSearchCV(HamiltonianModel(QM), options, cv=KFold(2))
    search.fit(waters[:10], targets_of("saph", records[:10]))
    assert search.best_params_["model"] == RIDGE
    assert len(search.predict(waters[10:12])) == 2


def test_the_score_of_a_property_is_the_fraction_that_is_explained(fitted):
    values = np.array([atoms.info["energy"] for atoms in NEW])
    predicted = np.array([p.value for p in fitted["property"].predict(NEW)])
    expected = 1 - ((predicted - values) ** 2).sum() / ((values - values.mean()) ** 2).sum()
    assert fitted["property"].score(NEW) == pytest.approx(expected, rel=1e-10)
    assert fitted["property"].score(NEW[:1]) == 0.0  # one value has no spread
    equal = np.full(7, -76.123456)
    assert 0 < np.std(equal) < 1e-12 and fitted["property"].score(TRAIN[:7], equal) == 0.0


# -- before a fit


@pytest.mark.parametrize("name", MADE)
def test_models_that_were_not_fitted_refuse_in_words(name, waters, tmp_path):
    unfitted = MADE[name]()
    structures = structures_for(unfitted, waters)
    calls = [
        lambda: unfitted.predict(structures),
        lambda: unfitted.save(tmp_path / "model"),
        lambda: unfitted.elements_,
    ]
    if name == "matrix":
        calls += [lambda: unfitted.score(structures, []), lambda: unfitted.orbitals_, unfitted.alpha_of_block]
    else:
        calls += [
            lambda: unfitted.score(structures),
            lambda: unfitted.predict_parts(structures),
            lambda: unfitted.hyperparameters_,
            lambda: unfitted.predict(structures, forces=True),
            unfitted.check_forces,
        ]
    for call in calls:
        with pytest.raises(ConfigError, match=f"this {type(unfitted).__name__} was not fitted; call fit first, or"):
            call()
    assert not unfitted.is_fitted and list(tmp_path.iterdir()) == []


def test_a_refused_fit_leaves_a_property_as_it_was(fitted):
    energy = copy.deepcopy(fitted["property"])
    before = energy.predict(NEW, forces=True, std=True)
    unlabelled = [atoms.copy() for atoms in molecules(4)]
    for wrong in (TRAIN[:1], unlabelled):
        with pytest.raises(Exception, match=r"give at least two training structures|is missing"):
            energy.fit(wrong)
    assert energy.predict(NEW, forces=True, std=True) == before
    assert energy.training_ == fitted["property"].training_


# -- what they show


@pytest.mark.parametrize("name", ["matrix", "kernels", "property", "derivatives", "features"])
def test_models_show_themselves_in_few_lines(name, fitted):
    some = fitted[name]
    for shown, fit in ((some, rf"fit={some.training_['n_structures']} structures"), (clone(some), "fit=none")):
        text, page = repr(shown), shown._repr_html_()
        assert text == str(shown) and text.startswith(f"{type(some).__name__}(")
        assert len(text.splitlines()) <= 10 and all(len(line) <= 120 for line in text.splitlines())
        assert fit in text
        assert page.startswith(f"<table><caption>{type(some).__name__}</caption>") and len(page) < 3000
        assert page.count("<tr>") == len(type(some).PARAMETERS) + 1 + len(some.learner_.in_words()) * shown.is_fitted
        assert "<script" not in page


# -- copies and processes


def test_models_equal_themselves_alone(fitted):
    some = fitted["property"]
    assert some == some and some != copy.deepcopy(some) and some != clone(some)
    assert len({some, copy.copy(some), some}) == 2


@pytest.mark.parametrize("name", ["matrix", "kernels", "property", "derivatives", "features"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda some: pickle.loads(pickle.dumps(some))])
def test_copies_predict_the_same_and_are_apart(name, copied, fitted, waters):
    some, structures = fitted[name], structures_for(fitted[name], waters)
    expected, again = some.predict(structures, std=name != "features"), copied(some)
    assert again.predict(structures, std=name != "features") == expected
    assert again.get_params() == some.get_params() and again.learner_ is not some.learner_
    again.fit(TRAIN[:4]) if isinstance(some, PropertyModel) else again.set_params(target=LowdinTarget())
    assert some.predict(structures, std=name != "features") == expected


def test_models_travel_to_other_processes(fitted, waters):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for name in ("matrix", "property"):
            structures = structures_for(fitted[name], waters)
            (there,), (here,) = (
                pool.submit(fitted[name].predict, structures[:1]).result(),
                fitted[name].predict(structures[:1]),
            )
            if name == "matrix":
                np.testing.assert_allclose(there.hamiltonian, here.hamiltonian, atol=1e-12)
            else:
                assert there.value == pytest.approx(here.value, rel=1e-12)
