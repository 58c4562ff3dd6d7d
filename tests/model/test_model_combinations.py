"""What does not go together is refused before anything is computed, and the advice of every refusal works."""

from dataclasses import dataclass
from typing import Any

import pytest
from properties import FIXED, SMALL, labelled, model, molecules, target
from water_models import FEATURES, KERNELS, LEARNERS, QM, RIDGE, TARGETS, WIGNER, targets_of, with_bars

from hamlearn.config import FeatureSettings, KernelRidgeSettings, KernelSettings, PropertyTarget, RidgeSettings
from hamlearn.errors import ConfigError
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.property import PropertyModel

TRAIN, NEW = labelled(molecules(8)), labelled(molecules(2, seed=90))
SOAP = FIXED.model_copy(update={"kind": "soap", "max_nu": 2, "b": None})
ORDER = FIXED.model_copy(update={"kind": "order", "max_nu": 2, "b": None})


def ridge(forces=False, l=0, sigma=1, key="energy", **features):
    return PropertyModel(target(key, l, sigma, forces), RidgeSettings(features=FEATURES.model_copy(update=features)))


def given(**features):
    return PropertyModel(target(), RidgeSettings(features=FeatureSettings(max_l=2, max_n=2, **features)))


def kernels(settings=FIXED, **more):
    return PropertyModel(target(), KernelRidgeSettings(kernel=settings, **more))


def matrix(settings, name="saph"):
    return HamiltonianModel(QM, TARGETS[name], settings)


def of_pairs(**settings):
    return matrix(KernelRidgeSettings(kernel=WIGNER, **settings))


def kernel(**settings):
    rate = {} if settings.get("kind", "wigner") == "wigner" else {"b": None}
    return KernelSettings.model_validate(FIXED.model_dump() | rate | settings)


@dataclass(frozen=True)
class Case:
    """A combination, words of its refusal, and what those advise."""

    wrong: Any
    words: str
    advised: tuple[Any, ...]


CASES = {
    "ridge with forces": Case(
        lambda: ridge(forces=True),
        r"ridge regression of features learns no forces; use model\.kind kernel, or drop it",
        (ridge, lambda: model(forces=True)),
    ),
    "soap with forces": Case(
        lambda: model(forces=True, kernel=SOAP),
        r"model\.kernel\.kind soap has not; use wigner or order",
        (lambda: model(forces=True, kernel=ORDER), lambda: model(forces=True)),
    ),
    "forces in the full basis": Case(
        lambda: model(forces=True, basis="full"),
        "full learns no forces; use sparse, or derivatives for few structures",
        (lambda: model(forces=True, basis="sparse"), lambda: model(forces=True, basis="derivatives")),
    ),
    "derivatives without forces": Case(
        lambda: model(basis="derivatives"),
        r"needs forces; give target\.forces_key, or use basis full or sparse",
        (
            lambda: model(basis="derivatives", forces=True),
            lambda: model(basis="full"),
            lambda: model(basis="sparse"),
        ),
    ),
    "active in the full basis": Case(
        lambda: kernels(active=3, basis="full"),
        "active 3 belongs to the basis sparse, got basis full; drop one of them",
        (lambda: kernels(active=3), lambda: kernels(basis="full"), lambda: kernels(active=3, basis="sparse")),
    ),
    "active samples of all blocks": Case(
        lambda: of_pairs(active=3, basis="full"),
        "active 3 belongs to the basis sparse, got basis full; drop one of them",
        (lambda: of_pairs(active=3), lambda: of_pairs(basis="full")),
    ),
    "structures drawn for the full basis": Case(
        lambda: of_pairs(active_by="structures", basis="full"),
        "active_by structures belongs to the basis sparse, got basis full; drop one of them",
        (lambda: of_pairs(active_by="structures", active=4), lambda: of_pairs(basis="full")),
    ),
    "structures drawn for a property": Case(
        lambda: kernels(active_by="structures", active=3),
        "active_by structures belongs to kernels of pairs, got wigner; remove it",
        (lambda: kernels(active=3),),
    ),
    "active element that is none": Case(
        lambda: kernels(active={"H": 3, "c": 2, "O": 2}),
        "model.active names the element 'c'; did you mean 'C'",
        (lambda: kernels(active={"H": 3, "C": 2, "O": 2}),),
    ),
    "average with forces": Case(
        lambda: model(forces=True, kernel=kernel(structure="average")),
        r"model\.kernel\.structure average learns no forces; drop it, or target\.forces_key",
        (lambda: model(forces=True), lambda: kernels(kernel(structure="average"))),
    ),
    "average of vectors": Case(
        lambda: model("dipole", 1, kernel=kernel(structure="average")),
        "compares invariants only, but target has l 1, sigma 1; drop it",
        (lambda: model("dipole", 1),),
    ),
    "average in a sparse basis": Case(
        lambda: kernels(kernel(structure="average"), active=3),
        r"in the basis full, got model\.active 3; drop one of them",
        (lambda: kernels(kernel(structure="average")), lambda: kernels(active=3)),
    ),
    "rematch of wigner kernels": Case(
        lambda: kernels(kernel(structure="rematch")),
        "kind soap, got wigner",
        (lambda: kernels(kernel(structure="rematch", kind="soap")),),
    ),
    "kernels of pairs for a property": Case(
        lambda: kernels(WIGNER),
        r"kind pairs cannot learn target\.kind property: .*; use wigner, order or soap",
        (kernels, lambda: kernels(ORDER), lambda: kernels(SOAP)),
    ),
    "kernels of environments for a matrix": Case(
        lambda: matrix(KernelRidgeSettings(kernel=SMALL)),
        r"kind wigner cannot learn target\.kind saph: .*; use pairs",
        (lambda: matrix(KERNELS),),
    ),
    "derivatives of blocks": Case(
        lambda: of_pairs(basis="derivatives"),
        "belongs to properties with forces; use full or sparse",
        (lambda: of_pairs(basis="full"), lambda: of_pairs(basis="sparse")),
    ),
    "annealing of blocks": Case(
        lambda: of_pairs(optimise="annealing"),
        r"kernel\.grid chooses the rate of this one",
        (
            lambda: matrix(
                KernelRidgeSettings(kernel=WIGNER.model_copy(update={"max_l": 1, "grid": {"rate": (0.5, 1.0)}}))
            ),
        ),
    ),
    "features of pairs for a property": Case(
        lambda: given(max_nu_pair=0),
        r"model\.features\.max_nu_pair was given, but a property has features of atoms; remove it",
        (given, lambda: given(max_nu_pair=1)),  # its default says nothing
    ),
    "features of too small l": Case(
        lambda: ridge(l=2, key="alpha", max_l=1),
        r"target\.l 2 needs model\.features\.max_l of at least 2",
        (lambda: ridge(l=2, key="alpha", max_l=2),),
    ),
    "features of too low order": Case(
        lambda: ridge(l=1, sigma=-1, key="dipole", max_nu_centre=1),
        "needs features of order 2 at least, got model.features.max_nu_centre 1: lower ones vanish; raise it to 2",
        (lambda: ridge(l=1, sigma=-1, key="dipole", max_nu_centre=2),),
    ),
    "features of atoms alone for a vector": Case(
        lambda: ridge(l=1, key="dipole", max_nu_centre=0),
        "needs features of order 1 at least, got model.features.max_nu_centre 0: lower ones vanish; raise it to 1",
        (lambda: ridge(l=1, key="dipole", max_nu_centre=1),),
    ),
    "features of a pseudoscalar": Case(
        lambda: ridge(sigma=-1, key="handedness"),
        r"needs features of order 3 at least, got .*: lower ones vanish; use model\.kind kernel",
        (lambda: model("handedness", 0, -1, kernel=kernel(max_nu=4)),),
    ),
    "kernels of too small l": Case(
        lambda: model("alpha", 2, kernel=kernel(max_l=1)),
        r"target\.l 2 needs model\.kernel\.max_l of at least 2, got 1",
        (lambda: model("alpha", 2, kernel=kernel(max_l=2)),),
    ),
    "kernels of too low order": Case(
        lambda: model("handedness", 0, -1, kernel=kernel(max_nu=2)),
        r"needs kernels of order 3 or more, got 2: lower ones vanish; raise model\.kernel\.max_nu",
        (lambda: model("handedness", 0, -1, kernel=kernel(max_nu=4)),),
    ),
    "soap of a pseudoscalar": Case(
        lambda: model("handedness", 0, -1, kernel=SOAP),
        r"raise model\.kernel\.max_nu \(kinds wigner and order\)",
        (lambda: model("handedness", 0, -1, kernel=kernel(max_nu=4)),),
    ),
    "forces of a vector": Case(
        lambda: PropertyTarget(key="dipole", l=1, forces_key="forces"),
        r"forces_key belongs to an energy \(l 0, sigma 1\), got l 1, sigma 1",
        (lambda: model("dipole", 1), lambda: model(forces=True)),
    ),
    "baseline of a vector": Case(
        lambda: PropertyTarget(key="dipole", l=1, baseline="composition"),
        "not equivariant for l 1, sigma 1; use none, or drop it",
        (lambda: PropertyModel(PropertyTarget(key="dipole", l=1, baseline="none"), KernelRidgeSettings(kernel=FIXED)),),
    ),
    "weights without forces": Case(
        lambda: PropertyTarget(key="energy", force_weight=2.0),
        "force_weight was given, but no forces are learned .forces_key.; remove it",
        (lambda: PropertyModel(PropertyTarget(key="energy", forces_key="forces", force_weight=2.0), model().model),),
    ),
    "a matrix as a property": Case(
        lambda: PropertyModel(TARGETS["fock"]),
        r"target is a FockTarget, expected PropertyTarget\(key=\.\.\.\); use HamiltonianModel for matrices",
        (lambda: matrix(RIDGE, "fock"),),
    ),
    "a property as a matrix": Case(
        lambda: HamiltonianModel(QM, target()),
        r"target is a PropertyTarget, expected SaphTarget\(\), LowdinTarget\(\) or FockTarget\(\); use PropertyModel",
        (lambda: PropertyModel(target()),),
    ),
}


@pytest.fixture(scope="module")
def fit(waters, records):
    """Fit a model on a few structures of its kind, and let it predict."""

    def fit(some):
        if isinstance(some, PropertyModel):
            known, new = TRAIN, NEW
            if some.target.key == "handedness":
                known, new = ([a for a in listed if len(a) == 4] for listed in (TRAIN, NEW))
            return some.fit(known).predict(new, forces=some.has_forces)
        return some.fit(waters[:6], targets_of(some.target, records[:6])).predict(waters[6:8])

    return fit


@pytest.mark.filterwarnings("ignore:the cross-validated error")
@pytest.mark.parametrize("name", CASES)
def test_what_is_refused_says_what_works(name, fit):
    case = CASES[name]
    with pytest.raises(ConfigError, match=case.words):
        case.wrong()
    for advised in case.advised:
        assert fit(advised())


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("name", ["saph", "fock_delta"])
def test_matrices_have_error_bars_by_any_learner(name, learner, waters, records):
    bars = matrix(with_bars(LEARNERS[learner]), name)
    (prediction,) = bars.fit(waters[:8], targets_of(name, records[:8])).predict(waters[8], std=True)
    assert prediction.has_error_bars and prediction.gap_std_ev > 0


def test_what_only_a_fit_can_know_is_refused_with_advice(waters, records):
    refusals = [
        (kernels(active={"N": 3}), "names N; the training set has H, C, O"),
        (model(forces=True, basis="derivatives", memory_gb=1e-4), "use fewer structures, more memory, or basis sparse"),
    ]
    for wrong, words in refusals:
        with pytest.raises(ConfigError, match=words):
            wrong.fit(TRAIN)
    assert kernels(active={"H": 3, "C": 2, "O": 2}).fit(TRAIN).predict(NEW)
    assert model(forces=True, active=4, basis="sparse", memory_gb=1e-4).fit(TRAIN).predict(NEW, forces=True)
    targets = targets_of("saph", records[:2])
    with pytest.raises(
        ConfigError, match=r"active is 16, but .* at most 4 samples of a kind \(H\); lower it, or remove it"
    ):
        matrix(LEARNERS["sparse"]).fit(waters[:2], targets)
    few = LEARNERS["sparse"].model_copy(update={"active": 2})
    for learner in (RIDGE, KERNELS, few):
        with pytest.raises(ConfigError, match=r"give at least two training structures, or drop"):
            matrix(with_bars(learner)).fit(waters[:1], targets[:1])
        assert matrix(with_bars(learner)).fit(waters[:2], targets).predict(waters[3], std=True)
    assert matrix(RIDGE).fit(waters[:1], targets[:1]).predict(waters[3])
    assert matrix(KERNELS).fit(waters[:1], targets[:1]).predict(waters[3])


def test_forces_of_other_learners_are_refused_with_advice():
    for some, words in (
        (kernels(SOAP), r"model\.kernel\.kind soap"),
        (kernels(kernel(structure="average")), r"model\.kernel\.structure average"),
        (kernels(kernel(message_nu=0)), r"model\.kernel\.message_nu 0"),
    ):
        some.fit(TRAIN[:4])
        with pytest.raises(
            ConfigError, match=f"{words} has no derivatives .*; train by ridge regression, or with kernels"
        ):
            some.predict(NEW, forces=True)
    for some in (ridge(), kernels(), kernels(ORDER), kernels(kernel(additive=["pair"]))):
        assert some.fit(TRAIN).predict(NEW[:1], forces=True)[0].forces.shape == (3, 3)
