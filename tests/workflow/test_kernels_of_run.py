"""A run of kernels that is killed in the middle of its fit."""

import ase.io
import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import build_config
from hamlearn.errors import ConfigError, DomainError
from hamlearn.learning import group_fits
from hamlearn.learning import tiles as kernel_tiles
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.structures.splits import split, training_orders
from hamlearn.workflow import run

WATERS = "waters.extxyz"


def config_of(folder, sections):
    """A run on the waters of a folder, in a small basis."""
    return build_config({"structures": {"file": str(folder / WATERS)}, "qm": {"basis": "sto-3g"}, **sections})


def test_a_killed_fit_goes_on_with_the_kernels_it_has(waters, tmp_path, monkeypatch):
    ase.io.write(tmp_path / WATERS, waters[:12])
    config = config_of(tmp_path, {
        "model": {
            "kind": "kernel",
            "kernel": {"max_l": 2, "max_nu_centre": 2, "max_nu_pair": 1},
            "basis": "sparse",
            "active": {"H-O": 8},
        },
        "split": {"train": 8, "test": 4},
    })  # fmt: skip
    whole, out = run(config, tmp_path / "whole", executor="serial", until="curve"), tmp_path / "out"
    with monkeypatch.context() as patched:

        def killed(*arguments):
            raise KeyboardInterrupt

        patched.setattr(group_fits, "fits_of_groups", killed)
        with pytest.raises(KeyboardInterrupt):
            run(config, out, executor="serial")
        patched.undo()
        patched.setattr(HamiltonianModel, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            run(config, out, executor="serial")
    assert list((out / "kernels").rglob("*.npz"))
    made = kernel_tiles.KernelTiles._made
    computed = []

    def counted(self, ranges, executor):
        computed.extend(ranges if self.folder is not None else [])
        return made(self, ranges, executor)

    monkeypatch.setattr(kernel_tiles.KernelTiles, "_made", counted)
    result = run(config, out, executor="serial", until="curve")
    assert not computed
    assert not (out / "kernels").exists()
    for key in ("eigenvalue_rmse_mev", "gap_rmse_mev"):
        np.testing.assert_allclose(result.results[key], whole.results[key], rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"memory_gb": 2e-5}, r"the kernel of 48 rows \(H-O, L = 1\) needs .*more than memory_gb = 2e-05"),
        ({"memory_gb": 1e-5, "active_by": "structures", "active": {"H-O": 9}}, "more than memory_gb = 1e-05"),
        ({"active": {"H-O": 17}}, "17 samples of H-O, the training set has 16"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_any_calculation(waters, tmp_path, model, words):
    ase.io.write(tmp_path / WATERS, waters[:12])
    config = config_of(tmp_path, {
        "model": {"kind": "kernel", **model},
        "split": {"train": 8, "test": 4},
    })  # fmt: skip
    with pytest.raises(ConfigError, match=words):
        run(config, tmp_path / "out", executor="serial")
    assert not (tmp_path / "out" / "qm").exists()


@pytest.mark.parametrize(("kind", "section"), [("ridge", "features"), ("kernel", "kernel")])
def test_neighbours_no_training_structure_has_are_refused_before_any_calculation(waters, tmp_path, kind, section):
    """Hydrogens within the cut-off of each other only in the test set, by position in the file."""
    near = Atoms("OHH", [[0, 0, 0.0], [0.55, 0, 0.75], [-0.55, 0, 0.75]])
    structures = [*waters[:9], near]
    part = split(10, 8, 2, 0)
    order = np.argsort(np.concatenate(part))  # the last one of the test set is the bent one
    ase.io.write(tmp_path / WATERS, [structures[k] for k in order])
    settings = {"cutoff_angstrom": 1.25, "cutoff_width_angstrom": 0.2}
    config = config_of(tmp_path, {
        "model": {"kind": kind, section: settings},
        "split": {"train": 8, "test": 2},
    })  # fmt: skip
    words = rf"structure {part[1][-1]} \(H2O\): H near H within 1.25 Å not in the training set"
    with pytest.raises(DomainError, match=words):
        run(config, tmp_path / "out", executor="serial")
    assert not (tmp_path / "out" / "qm").exists()


@pytest.mark.parametrize("basis", ["full", "sparse"])
def test_the_smallest_point_of_a_curve_is_checked_first(waters, tmp_path, basis):
    """One structure is enough for all of its atoms, and too little to leave any out."""
    ase.io.write(tmp_path / WATERS, waters[:6])
    config = config_of(tmp_path, {
        "model": {"kind": "kernel", "kernel": {"max_l": 1, "max_nu_centre": 2, "max_nu_pair": 1}, "basis": basis},
        "split": {"train": 3, "test": 3, "curve": [1, 3]},
    })  # fmt: skip
    if basis == "full":
        assert len(run(config, tmp_path / "out", executor="serial", until="curve").results["learning_curve"]) == 2
        return
    with pytest.raises(ConfigError, match=r"split\.curve starts at 1: .* need structures that can be left out"):
        run(config, tmp_path / "out", executor="serial")
    assert not (tmp_path / "out" / "qm").exists()


@pytest.mark.filterwarnings("ignore:.*equal to a training structure")
def test_points_of_a_curve_without_some_neighbours_are_left_out(waters, tmp_path):
    """Hydrogens that are near each other in one training structure alone, the last of the order."""
    near = Atoms("OHH", [[0, 0, 0.0], [0.55, 0, 0.75], [-0.55, 0, 0.75]])
    part = split(6, 4, 2, 0)
    last = training_orders(np.arange(4), 1, 0)[0][-1]
    structures = waters[:6]
    structures[part[0][last]] = structures[part[1][0]] = near
    ase.io.write(tmp_path / WATERS, structures)
    config = config_of(tmp_path, {
        "model": {
            "kind": "kernel",
            "kernel": {"max_l": 1, "max_nu_pair": 1, "cutoff_angstrom": 1.25, "cutoff_width_angstrom": 0.2},
        },
        "split": {"train": 4, "test": 2, "curve": [3, 4]},
    })  # fmt: skip
    told = []
    results = run(config, tmp_path / "out", executor="serial", until="curve", echo=told.append).results
    assert [row["n_train"] for row in results["learning_curve"]] == [4]
    assert any("3 structures are left out (H near H within 1.25 Å not in the training set" in line for line in told)


def test_all_points_of_a_curve_have_the_kernels_chosen_on_the_whole_training_set(waters, tmp_path):
    """The smallest set alone would choose otherwise, and end elsewhere."""
    ase.io.write(tmp_path / WATERS, waters[:24])
    told, curves = [], []
    for smearing in ({"grid": {"smearing_angstrom": [0.1, 0.8]}}, {"smearing_angstrom": 0.1}):
        config = config_of(tmp_path, {
            "model": {
                "kind": "kernel",
                "kernel": {"max_l": 1, "max_nu_centre": 2, "max_nu_pair": 1, **smearing},
            },
            "split": {"train": 16, "test": 4, "curve": [3, 16]},
        })  # fmt: skip
        results = run(
            config, tmp_path / f"out-{len(curves)}", executor="serial", until="curve", echo=told.append
        ).results
        curves.append([row["hamiltonian_rmse_mev"] for row in results["learning_curve"]])
    assert sum("model.kernel.grid: smearing_angstrom" in line for line in told) == 2
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-9)
