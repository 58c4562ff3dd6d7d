"""Settings of kernels, chosen by cross-validation."""

import pytest
from noisy_waters import BARS, SMALL, noisy_waters

from hamlearn.config import ModelSettings
from hamlearn.errors import ConfigError
from hamlearn.learning import choice as wigner_choice
from hamlearn.learning.kernel_learner import KernelBlockModel
from hamlearn.regression.kernel_fit import SingularKernel


@pytest.fixture(scope="module")
def data(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


def test_one_choice_of_a_grid_may_be_singular(data, monkeypatch):
    """The other one is taken, whatever its error."""
    fit_groups = wigner_choice.fit_groups_full

    def sometimes(tiles, *rest):
        if tiles.kernel.settings.rate == 1.0:
            raise SingularKernel("not this one")
        return fit_groups(tiles, *rest)

    monkeypatch.setattr(wigner_choice, "fit_groups_full", sometimes)
    told = []
    grid = SMALL.model_copy(update={"grid": {"rate": (1.0, 1e-3)}})
    assert KernelBlockModel(grid, ModelSettings(kind="wigner")).fit(*data[:2], told.append).wigner.rate == 1e-3
    assert "rate 1.0: cross-validated RMSE of an element inf meV" in told[0]
    monkeypatch.setattr(wigner_choice, "fit_groups_full", lambda tiles, *rest: sometimes(tiles))
    with pytest.raises(ConfigError, match=r"no choice of wigner.grid gives a finite error"):
        KernelBlockModel(grid.model_copy(update={"grid": {"rate": (1.0,)}}), BARS).fit(*data[:2])


def test_the_cutoff_of_pairs_is_chosen_by_what_it_leaves_out(data):
    """Pairs beyond it count with their whole blocks."""
    told = []
    grid = SMALL.model_copy(update={"grid": {"pair_cutoff_angstrom": (1.2, 8.0)}})
    fitted = KernelBlockModel(grid, ModelSettings(kind="wigner")).fit(*data[:2], told.append)
    errors = [float(line.split()[-2]) for line in told[:2]]
    assert fitted.wigner.pair_cutoff_angstrom == 8.0 and errors[0] > 20 * errors[1]
