"""Settings of kernels, chosen by cross-validation."""

import numpy as np
import pytest
from noisy_waters import BARS, PLAIN, SMALL, fit, noisy_waters

from hamlearn.config import KernelSettings
from hamlearn.errors import ConfigError
from hamlearn.job import SILENT, Job
from hamlearn.learning import pair_kernels
from hamlearn.learning.choice import choose, evenly_spaced, grid_of
from hamlearn.regression.alphas import SingularKernel


@pytest.fixture(scope="module")
def known(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


def test_one_choice_of_a_grid_may_be_singular(known, monkeypatch):
    """The other one is taken, whatever its error."""
    fit_groups = pair_kernels.fits_of_groups

    def sometimes(tiles, *rest):
        if tiles.kernel.settings.rate == 1.0:
            raise SingularKernel("not this one")
        return fit_groups(tiles, *rest)

    monkeypatch.setattr(pair_kernels, "fits_of_groups", sometimes)
    told = []
    grid = SMALL.model_copy(update={"grid": {"rate": (1.0, 1e-3)}})
    fitted = fit(known, PLAIN, Job(echo=told.append), kernel=grid)
    assert fitted.kernel.rate == fitted.chosen().kernel.rate == 1e-3
    assert fitted.chosen().kernel.grid is None and fitted.settings.kernel == grid
    assert "rate 1.0: cross-validated RMSE of an element, meV, inf" in told[0]
    only = SMALL.model_copy(update={"grid": {"rate": (1.0,)}})
    with pytest.raises(ConfigError, match=r"no choice of model.kernel.grid gives a finite error"):
        fit(known, BARS, kernel=only)


def test_the_cutoff_of_pairs_is_chosen_by_what_it_leaves_out(known):
    """Pairs beyond it count with their whole blocks."""
    told = []
    grid = SMALL.model_copy(update={"grid": {"pair_cutoff_angstrom": (1.2, 8.0)}})
    fitted = fit(known, PLAIN, Job(echo=told.append), kernel=grid)
    errors = [float(line.split()[-1]) for line in told[:2]]
    assert fitted.pair_cutoff == 8.0 and errors[0] > 20 * errors[1]


def test_a_grid_is_compared_on_some_structures_that_fit_into_memory(known, monkeypatch):
    """Evenly spaced ones; half as many until their kernels fit."""
    sizes = []

    def error(self, settings, structures, data, job):
        sizes.append((len(structures), data.n_structures))
        return settings.rate

    monkeypatch.setattr(pair_kernels.PairKernelLearner, "_error", error)
    grid = PLAIN.model_copy(update={"kernel": SMALL.model_copy(update={"grid": {"rate": (1.0, 0.5)}})})
    assert fit(known, grid).kernel.rate == 0.5
    monkeypatch.setattr(pair_kernels, "MOST_TO_CHOOSE", 9)
    fit(known, grid)
    fit(known, grid.model_copy(update={"basis": "sparse", "active": 4, "memory_gb": 1e-4}))
    assert sizes[::2] == sizes[1::2] == [(16, 16), (9, 9), (4, 4)]


def test_points_of_a_grid_are_all_combinations():
    settings = KernelSettings(grid={"max_nu": (2, 3), "cutoff_angstrom": (3.0, 4.0, 5.0)})
    points = grid_of(settings)
    assert [(p.max_nu, p.cutoff_angstrom) for p in points] == [(n, r) for n in (2, 3) for r in (3.0, 4.0, 5.0)]
    assert all(p.grid is None for p in points)
    assert grid_of(KernelSettings(max_nu=3)) == [KernelSettings(max_nu=3)]


def test_the_first_of_the_best_is_chosen_and_all_are_told():
    told = []
    settings = KernelSettings(grid={"decay_angstrom": (None, 12.0, 9.0)})
    errors = {None: 2.0, 12.0: 1.0 + 1e-13, 9.0: 1.0}
    found = choose(settings, lambda option: errors[option.decay_angstrom], "spreads", Job(echo=told.append))
    assert found.decay_angstrom == 12.0
    assert told[0] == "model.kernel.grid: decay_angstrom none: cross-validated spreads 2"
    assert len(told) == 3
    plain = KernelSettings()
    assert choose(plain, lambda option: pytest.fail("nothing to choose"), "", SILENT) is plain
    with pytest.raises(ConfigError, match="structures that occur twice"):
        choose(settings, lambda option: np.inf, "spreads", SILENT)


@pytest.mark.parametrize(("n", "most", "expected"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (1, 1, [0])])
def test_evenly_spaced(n, most, expected):
    assert evenly_spaced(n, most) == expected
