"""A run of kernels that is killed in the middle of its fit."""

import ase.io
import numpy as np
import pytest

from hamlearn.config import build_config
from hamlearn.errors import ConfigError
from hamlearn.hamiltonian_model import HamiltonianModel
from hamlearn.models import kernel_blocks, kernel_tiles
from hamlearn.workflow import run


def test_a_killed_fit_goes_on_with_the_kernels_it_has(waters, tmp_path, monkeypatch):
    ase.io.write(tmp_path / "waters.extxyz", waters[:12])
    config = build_config({
        "structures": {"file": str(tmp_path / "waters.extxyz")},
        "qm": {"basis": "sto-3g"},
        "wigner": {"max_l": 2, "max_nu_centre": 2, "max_nu_pair": 1},
        "model": {"kind": "wigner", "basis": "sparse", "active": {"H-O": 8}},
        "split": {"train": 8, "test": 4},
    })  # fmt: skip
    whole, out = run(config, tmp_path / "whole", executor="serial"), tmp_path / "out"
    with monkeypatch.context() as patched:

        def killed(*arguments):
            raise KeyboardInterrupt

        patched.setattr(kernel_blocks, "fit_groups_sparse", killed)
        with pytest.raises(KeyboardInterrupt):
            run(config, out, executor="serial")
        patched.undo()
        patched.setattr(HamiltonianModel, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            run(config, out, executor="serial")
    assert list((out / "kernels").rglob("*.npz"))
    rows = kernel_tiles.kernel_rows
    computed = []

    def counted(kernel, a, basis, wanted, executor, ranges, is_symmetric):
        computed.extend(ranges)
        return rows(kernel, a, basis, wanted, executor, ranges, is_symmetric)

    monkeypatch.setattr(kernel_tiles, "kernel_rows", counted)
    result = run(config, out, executor="serial")
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
    ase.io.write(tmp_path / "waters.extxyz", waters[:12])
    config = build_config({
        "structures": {"file": str(tmp_path / "waters.extxyz")},
        "qm": {"basis": "sto-3g"},
        "model": {"kind": "wigner", **model},
        "split": {"train": 8, "test": 4},
    })  # fmt: skip
    with pytest.raises(ConfigError, match=words):
        run(config, tmp_path / "out", executor="serial")
    assert not (tmp_path / "out" / "qm").exists()
