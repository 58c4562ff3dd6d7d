"""Kernels of structures that are no plain sums of environment kernels, from their settings to a loaded model."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from properties import FIXED, SMALL, labelled, model, molecules, values

import hamlearn
from hamlearn.config import KernelSettings, build_config, load_config
from hamlearn.errors import ConfigError
from hamlearn.kernels import TaggedPairs, density_kernel, message_kernel
from hamlearn.kernels.structure_kernel import StructureKernel, make_kernel
from hamlearn.model.property import PropertyModel
from hamlearn.observables.properties import property_metrics
from hamlearn.structures import read_structures
from hamlearn.structures.samples import Samples
from hamlearn.targets.labels import read_labels
from hamlearn.testing import assert_equivariant

DATA = Path(__file__).parents[2] / "data" / "water_properties.extxyz"
WATERS = read_structures(DATA)
TRAIN, NEW = labelled(molecules(24)), labelled(molecules(5, seed=90))
SOAP = SMALL.model_copy(update={"kind": "soap", "zeta": 2})
FEW = SMALL.model_copy(update={"a": 100.0, "b": 1.0, "c0": 10.0})
MATCHES = {"structure": "rematch", "gamma": 5.0}


def changed(kernel, **settings):
    return KernelSettings.model_validate(kernel.model_dump() | settings)


def fitted_kernel(settings, memory_gb=4.0, structures=TRAIN):
    return make_kernel(settings, memory_gb).fit(structures)


def parts(settings, left=NEW, right=TRAIN[:6], **arguments):
    kernel = fitted_kernel(settings, **arguments)
    return kernel.between(kernel.environments(left), kernel.environments(right))


# -- oracles


def test_an_average_is_the_sum_over_both_numbers_of_atoms():
    n, m = (np.array([len(a) for a in some]) for some in (NEW, TRAIN[:6]))
    expected = parts(SMALL) / np.outer(n, m)
    np.testing.assert_allclose(parts(changed(SMALL, structure="average")), expected, rtol=1e-12)


def test_a_best_match_is_the_best_of_all_permutations():
    same = [a for a in TRAIN if len(a) == 4][:4]
    settings = changed(SMALL, kind="order", max_nu=2, structure="best_match")
    kernel = fitted_kernel(settings)
    env = kernel.environments(same)
    matched = kernel.between(env, env)[1]
    matrix, where = np.zeros((16, 16)), env.slices()
    for z, k in kernel.environment_matrix(env, env).items():
        matrix[where[z], where[z]] = k[1]
    owner = np.concatenate([env.structure[z] for z in env.species])
    for a in range(4):
        for b in range(4):
            block = matrix[owner == a][:, owner == b]
            best = max(block[range(4), order].mean() for order in permutations(range(4)))
            assert matched[a, b] == pytest.approx(best, rel=1e-12)


def test_a_match_with_infinite_entropy_is_the_average():
    loose = parts(changed(SOAP, structure="rematch", gamma=1e9))
    np.testing.assert_allclose(loose, parts(changed(SOAP, structure="average")), rtol=1e-7)


def test_a_match_with_little_entropy_is_the_best_one():
    same = [a for a in TRAIN if len(a) == 3][:4]
    tight = parts(changed(SOAP, structure="rematch", gamma=1e-4), same, same)
    np.testing.assert_allclose(tight, parts(changed(SOAP, structure="best_match"), same, same), atol=1e-3)


@pytest.mark.parametrize("settings", [{"structure": "best_match"}, MATCHES])
def test_matches_of_a_set_with_itself_are_symmetric_whatever_the_rounding(settings):
    """A match is found from one side: both sides add up in other orders."""
    kernel = fitted_kernel(changed(SOAP, zeta=1, **settings))
    env = kernel.environments(TRAIN)
    matched = kernel.between(env, env)
    np.testing.assert_array_equal(matched, matched.transpose(0, 2, 1))
    np.testing.assert_allclose(matched, kernel.between(env, kernel.environments(TRAIN)), rtol=1e-10)


@pytest.mark.parametrize("settings", [{}, {"kind": "order", "zeta": 2}])
def test_neighbours_that_tell_nothing_of_themselves_give_the_next_order(settings):
    """[nu - 1 <- 0] is order nu, also where neighbours are of several elements and channels are few."""
    plain = changed(SMALL, **settings, max_channels=40)
    np.testing.assert_allclose(parts(changed(plain, message_nu=0)), parts(plain), rtol=1e-7)


def test_messages_are_those_of_all_neighbours_on_all_radial_functions():
    """The same kernel made of all atoms and pairs at once, without regard to elements but in the end."""
    a, b = TRAIN[1], TRAIN[3]  # formaldehydes
    kernel = fitted_kernel(changed(SMALL, message_nu=1, max_channels=60))
    expansion, max_l = kernel.expansion_.uncontracted(), SMALL.max_l

    def described(atoms):
        found = expansion.densities(Samples.of([atoms]))
        density = torch.stack(
            [found[z][np.flatnonzero(atoms.numbers[:k] == z).size] for k, z in enumerate(atoms.numbers)]
        )
        ends = list(permutations(range(len(atoms)), 2))
        alone = [expansion.densities(Samples.of([atoms[list(pair)]]))[atoms.numbers[pair[0]]][0] for pair in ends]
        i, j = torch.tensor(ends).T
        return density, TaggedPairs(torch.from_numpy(atoms.numbers.astype(np.int64)), i, j, torch.stack(alone))

    (c_a, pairs_a), (c_b, pairs_b) = described(a), described(b)
    alike = torch.from_numpy((a.numbers[:, None] == b.numbers).astype(np.float64))
    k1 = density_kernel(c_a, c_b, max_l)
    message = message_kernel(pairs_a, pairs_b, k1.scaled(alike))
    expected = [float(((k1.power(nu) * message).mean() * alike).sum()) for nu in range(SMALL.max_nu)]
    env_a, env_b = kernel.environments([a]), kernel.environments([b])
    np.testing.assert_allclose(kernel.between(env_a, env_b)[1:, 0, 0], expected, rtol=1e-9)


def test_messages_come_in_tiles():
    settings = changed(SMALL, message_nu=1)
    kernel = fitted_kernel(settings)
    env = kernel.environments(NEW)
    whole = kernel.between(env, env)
    small = fitted_kernel(settings, memory_gb=2e-3)
    tiled = small.environments(NEW)
    np.testing.assert_allclose(small.between(tiled, tiled), whole, rtol=1e-12)
    np.testing.assert_allclose(small.between(tiled, small.environments(list(NEW))), whole, rtol=1e-12)
    assert np.linalg.eigvalsh(whole[2])[0] > -1e-10 * np.linalg.eigvalsh(whole[2])[-1]


# -- from settings to a loaded model


YAML = """
structures: {{file: {file}}}
target: {{kind: property, key: energy_ev, unit: eV}}
model:
  kind: kernel
  kernel: {{cutoff_angstrom: 4.0, smearing_angstrom: 0.3, smearing_growth_angstrom: null, max_l: 2, {kernel}}}
  folds: 4
  {model}
split: {{train: 40, test: 20}}
"""
CASES = {
    "average": ("structure: average", "", 0.02),
    "best match": ("kind: soap, zeta: 2, structure: best_match", "", 0.1),
    "rematch": ("kind: soap, structure: rematch, gamma: 10", "", 0.1),
    "messages": ("message_nu: 1, max_nu: 3", "", 0.02),
    "averaged messages": ("message_nu: 1, kind: order, max_nu: 2, zeta: 2, structure: average", "", 0.05),
    "additive": ("additive: [pair, triangle]", "", 0.02),
    "normal equations": ("max_nu: 3", "basis: sparse\n  active: 30\n  solver: normal", 0.05),
    "rkhs": ("max_nu: 3", "basis: sparse\n  active: 30\n  solver: rkhs", 0.02),
    "qr": ("max_nu: 3", "basis: sparse\n  active: 30\n  solver: qr", 0.02),
}


@pytest.mark.parametrize("case", CASES)
def test_from_a_workflow_file_to_a_loaded_model(case, tmp_path):
    kernel, settings, bound = CASES[case]
    (tmp_path / "water.yaml").write_text(YAML.format(file=DATA, kernel=kernel, model=settings))
    config = load_config(tmp_path / "water.yaml")
    fitted = PropertyModel(config.target, config.model).fit(WATERS[:40])
    predicted = fitted.predict(WATERS[100:120], std=True)
    errors = property_metrics(predicted, read_labels(WATERS[100:120], config.target), config.target)
    assert errors["value_rmse"] < bound * errors["value_spread"]
    fitted.save(tmp_path / "model")
    loaded = hamlearn.load_model(tmp_path / "model")
    for a, b in zip(predicted, loaded.predict(WATERS[100:120], std=True), strict=True):
        assert (a.value, a.std) == (b.value, b.std)
    assert_equivariant(fitted, WATERS[100:104], tolerance=1e-6)


# -- pairs and triangles


def test_a_pair_potential_is_learned_by_pairs_and_given_back_as_a_part():
    fitted = model(kernel=changed(SMALL, additive=["pair"])).fit(TRAIN)
    alone = model(kernel=SMALL).fit(TRAIN)
    new, target = labelled(molecules(30, seed=90)), fitted.target
    errors = [property_metrics(m.predict(new), read_labels(new, target), target) for m in (fitted, alone)]
    assert errors[0]["value_rmse"] < 0.1 * errors[1]["value_rmse"]
    assert fitted.hyperparameters_["pair"] > 0 and fitted.hyperparameters_["cv_error"] > 0
    total = fitted.predict_parts(NEW)
    assert len(total) == SMALL.max_nu + 2
    expected = values(fitted, NEW) - fitted.task_.baseline.values(NEW)
    np.testing.assert_allclose(total.sum(0)[:, 0], expected, atol=1e-7)
    assert np.std(total[1:-1].sum(0)) < 0.01 * np.std(total[-1])


def test_parts_are_those_of_ridge_regression_with_the_weighted_sum_of_kernels():
    fitted = model(kernel=changed(FEW, additive=["triangle", "pair"])).fit(TRAIN)
    kernel, mixture = fitted.learner_.kernel_, fitted.learner_.fit_.mixture
    assert isinstance(kernel, StructureKernel)
    assert mixture[-2:].tolist() == [fitted.hyperparameters_[name] for name in ("triangle", "pair")]
    env, new = kernel.environments(TRAIN), kernel.environments(NEW)
    energies = np.array([a.info["energy"] for a in TRAIN]) - fitted.task_.baseline.values(TRAIN)
    x = np.linalg.solve(np.tensordot(mixture, kernel.between(env, env), 1) + np.eye(24), energies)
    expected = mixture[:, None] * (kernel.between(new, env) @ x)
    np.testing.assert_allclose(fitted.predict_parts(NEW)[..., 0], expected, atol=1e-7 * fitted.task_.scale)


def test_forces_of_sums_of_models_are_minus_the_gradient():
    fitted = model(kernel=changed(FEW, additive=["pair", "triangle"])).fit(TRAIN)
    h, atoms = 1e-4, NEW[1]
    (predicted,) = fitted.predict([atoms], forces=True)
    moved = []
    for shift in (h, -h):
        for k in range(3 * len(atoms)):
            moved.append(atoms.copy())
            moved[-1].positions.flat[k] += shift
    up, down = np.split(values(fitted, moved), 2)
    np.testing.assert_allclose(predicted.forces.ravel(), -(up - down) / (2 * h), atol=1e-6)


# -- bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"structure": "rematch"}, "rematch needs kernels of atoms that are normalised, kind soap, got wigner"),
        ({"structure": "best_match"}, "matches by one kernel"),
        ({"gamma": 0.5}, "model.kernel: gamma was given, but structure is sum"),
        ({"additive_width_angstrom": 0.5}, "model.kernel: additive_width_angstrom was given, but additive is empty"),
        ({"additive": ["pair", "pair"]}, "names a kernel twice"),
        ({"additive": ["quadruple"]}, "expected one of 'pair' or 'triangle'"),
        ({"message_nu": 1, "kind": "soap"}, "message_nu does not go with kind soap"),
        ({"message_nu": 1, "kind": "order", "structure": "best_match"}, "does not go with structure best_match"),
        ({"message_nu": 1, "element_likeness": 1.0}, "drop element_likeness"),
        ({"message_nu": -1}, "must be at least 0"),
        ({"structure": "mean"}, "expected one of 'sum', 'average', 'best_match' or 'rematch'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    workflow = {
        "structures": {"file": "x.xyz"},
        "target": {"kind": "property", "key": "energy"},
        "model": {"kernel": settings},
        "split": {"train": 1, "test": 0},
    }
    with pytest.raises(ConfigError, match=message):
        build_config(workflow)


@pytest.mark.parametrize(
    "settings",
    [{"structure": "average"}, {"message_nu": 0}, {"additive": ["pair"]}, {"kind": "soap", "b": None, **MATCHES}],
)
def test_kernels_of_structures_are_for_scalars_in_the_basis_full(settings):
    kernel = changed(FIXED, **settings)
    refusals = [
        (lambda: model(kernel=kernel, basis="sparse"), "in the basis full, got model.basis sparse"),
        (lambda: model(kernel=kernel, active=3), "in the basis full, got model.active 3"),
        (lambda: model(forces=True, kernel=kernel), "learns no forces"),
        (lambda: model("dipole", 1, kernel=kernel), "compares invariants only"),
    ]
    for wrong, words in refusals:
        with pytest.raises(ConfigError, match=words):
            wrong()


@pytest.mark.parametrize(
    ("settings", "words"), [({"structure": "average"}, "structure average"), ({"message_nu": 0}, "message_nu 0")]
)
def test_forces_without_derivatives_are_refused(settings, words):
    fitted = model(kernel=changed(FIXED, **settings)).fit(TRAIN[:4])
    with pytest.raises(ConfigError, match=f"model.kernel.{words} has no derivatives"):
        fitted.predict(NEW, forces=True)
