"""Settings chosen on a grid, and the parts of a prediction."""

import numpy as np
import pytest
from properties import FIXED, SMALL, labelled, model, molecules

from hamlearn.config import KernelSettings, build_config
from hamlearn.errors import ConfigError
from hamlearn.learning.property_choice import candidates

TRAIN, NEW = labelled(molecules(24)), labelled(molecules(5, seed=90))


def test_candidates_are_all_combinations():
    grid = {"smearing_angstrom": (0.1, 0.4), "smearing_growth_angstrom": (None, 2.0), "max_nu": (2, 3)}
    options = candidates(SMALL.model_copy(update={"grid": grid}))
    assert len({(o.smearing_angstrom, o.smearing_growth_angstrom, o.max_nu) for o in options}) == 8
    assert all(o.grid is None and o.max_l == SMALL.max_l for o in options)


def test_the_grid_finds_the_smallest_cross_validated_error():
    """A cut-off too short to see any neighbour cannot be chosen."""
    lines = []
    kernel = SMALL.model_copy(update={"grid": {"cutoff_angstrom": (0.8, 4.0), "smearing_angstrom": (0.4, 0.2)}})
    fitted = model(kernel=kernel).fit(TRAIN, echo=lines.append)
    assert fitted.kernel.cutoff_angstrom == 4.0
    assert fitted.kernel.grid is None
    errors = []
    for option in candidates(kernel):
        errors.append(model(kernel=option).fit(TRAIN).hyperparameters_["cv_error"])
    assert fitted.hyperparameters_["cv_error"] == min(errors)
    assert sum(line.startswith("kernel: ") for line in lines) == 4
    assert lines[0].startswith("kernel: cutoff_angstrom 0.8, smearing_angstrom 0.4: cross-validated rmse ")


def test_a_model_chosen_on_a_grid_is_saved_with_its_choice(tmp_path):
    import hamlearn

    fitted = model(kernel=SMALL.model_copy(update={"grid": {"smearing_angstrom": (0.4, 0.2)}})).fit(TRAIN)
    fitted.save(tmp_path / "model")
    again = hamlearn.load_model(tmp_path / "model")
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert f"smearing_angstrom {fitted.kernel.smearing_angstrom}, smearing_growth_angstrom none" in card
    assert f"Cross-validated error: {fitted.hyperparameters_['cv_error']:.3g}" in card
    assert again.kernel == fitted.kernel
    assert again.predict(NEW)[0].value == fitted.predict(NEW)[0].value


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"backend": [1]}, "grid names backend"),
        ({"smearing_angstrom": []}, "is empty"),
        ({"smearing_angstrom": ["wide"]}, "expected a number"),
        (3, r"kernel.grid: expected lists of values by setting, such as .*, got 3"),
        ({"smearing_angstrom": 0.3}, "expected lists of values by setting"),
    ],
)
def test_bad_grids_are_refused(grid, message):
    settings = {
        "structures": {"file": "x.xyz"},
        "target": {"kind": "property", "key": "energy"},
        "kernel": {"grid": grid},
        "split": {"train": 1, "test": 0},
    }
    with pytest.raises(ConfigError, match=message):
        build_config(settings)


def test_values_of_a_grid_are_checked_one_by_one():
    with pytest.raises(ConfigError, match=r"kernel\.grid: smearing_angstrom: must be larger than 0"):
        candidates(KernelSettings(grid={"smearing_angstrom": (-1.0,)}))


@pytest.mark.parametrize("settings", [{}, {"basis": "sparse", "active": 15}, {"key": "dipole", "l": 1}])
def test_parts_add_up_to_the_prediction(settings):
    fitted = model(kernel=FIXED, **settings).fit(TRAIN)
    parts, baseline = fitted.predict_parts(NEW), fitted.baseline_.values(NEW)
    total = parts.sum(0)
    total[:, 0] += baseline
    expected = np.stack([np.atleast_1d(p.value) for p in fitted.predict(NEW)])
    own = total[:, [2, 0, 1]] if "key" in settings else total  # (y, z, x) to (x, y, z)
    np.testing.assert_allclose(own, expected, atol=1e-9 * fitted.scale_)
    assert all(np.abs(part).max() > 0 for part in parts[1:])


@pytest.mark.parametrize("settings", [{"basis": "sparse", "active": 15}, {"forces": True, "basis": "derivatives"}])
def test_given_hyperparameters_are_kept(settings):
    fitted = model(kernel=FIXED, **settings).fit(TRAIN[:10])
    for name in ("a", "b", "c0"):
        assert fitted.hyperparameters_[name] == pytest.approx(getattr(FIXED, name), rel=1e-12)


@pytest.mark.filterwarnings("ignore:the cross-validated error")  # nor are they learned from so little
def test_radicals_have_energies():
    """An odd number of electrons is no obstacle where nothing is calculated."""
    radicals = [atoms[[0, 1]] for atoms in TRAIN]
    for atoms, whole in zip(radicals, TRAIN, strict=True):
        atoms.info["energy"] = whole.info["energy"]
    assert any(sum(atoms.numbers) % 2 for atoms in radicals)
    assert len(model().fit(radicals).predict(radicals)) == len(radicals)


@pytest.mark.parametrize(
    ("key", "l", "sigma", "max_nu"), [("handedness", 0, -1, 2), ("dipole", 1, -1, 1), ("alpha", 2, 1, 2)]
)
def test_kernels_that_vanish_are_refused(key, l, sigma, max_nu):
    kernel = SMALL.model_copy(update={"max_nu": max_nu, "max_l": 1 if l == 2 else 2})
    with pytest.raises(ConfigError, match=r"max_nu|max_l"):
        model(key, l, sigma, kernel=kernel).fit(TRAIN)
