"""Run folders with made-up numbers, shaped as a run leaves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hamlearn.config import build_config, dump_config
from hamlearn.report import write_report

BLOCKS = [
    ("on_site", "O-O", "2s-2s", 0), ("on_site", "O-O", "2s-2p", 1), ("on_site", "O-O", "2p-2p", 0),
    ("on_site", "O-O", "2p-2p", 2), ("on_site", "H-H", "1s-1s", 0), ("plus", "H-H", "1s-1s", 0),
    ("cross", "H-O", "1s-2s", 0), ("cross", "H-O", "1s-2p", 1),
]  # fmt: skip
MANY_BLOCKS = [
    (kind, species, f"{a}-{b}", L)
    for kind, species in (("on_site", "C-C"), ("plus", "C-C"), ("minus", "C-C"), ("cross", "C-H"))
    for a, b in product(("1s", "2s", "2p", "3s"), repeat=2)
    for L in range(2)
]


def write_run(folder: Path, *, kind: str = "saph", curve: bool = True, test: bool = True, large: bool = False) -> Path:
    """A run folder; ``large`` has core levels, many levels and many blocks."""
    rng = np.random.default_rng(7)
    centres = np.array([-559.0, -307, *np.linspace(-40, -12, 11), *np.linspace(4, 60, 28)])
    centres = centres if large else np.array([-36.5, -19.2, -15.4, -13.6, 4.6, 6.9])
    n_occupied = 13 if large else 4
    n_test = 200 if test else 0
    names = [f"HOMO-{n_occupied - 1 - k}" if k < n_occupied - 1 else "HOMO" for k in range(n_occupied)]
    names += [f"LUMO+{k}" if k else "LUMO" for k in range(len(centres) - n_occupied)]
    shape = (n_test, len(centres))
    reference = np.sort(centres + rng.normal(0, 0.5, shape), axis=1)
    scale = np.linspace(0.6, 3.0, len(centres)) * 1e-4
    predicted = np.sort(reference + rng.standard_t(2.5, shape) * scale, axis=1)
    occupied = np.broadcast_to(np.arange(len(centres)) < n_occupied, shape)
    config = build_config(
        {
            "structures": {"file": "/data/water.extxyz"},
            "target": {"kind": kind},
            "split": {"train": 800, "test": n_test, "curve": [50, 100, 200, 400, 800] if curve and test else []},
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(dump_config(config, {"hamlearn": "0.1.0", "pyscf": "2.14.0"}))
    results: dict[str, Any] = {
        "n_train": 800, "n_test": n_test, "n_structures": 800 + n_test, "formulas": {"H2O": 800 + n_test},
        "target": config.target.model_dump(), "peak_memory_gb": 1.234,
        "failures": {"17": "SCF not converged"} if large else {},
        "seconds": {"qm": 143.2, "targets": 1.4, "features": 6.1, "fit": 9.3, "predict": 0.8, "curve": 31.0},
    }  # fmt: skip
    if test:
        errors = 1e3 * (predicted - reference)
        results |= {
            "hamiltonian_rmse_mev": 0.412, "eigenvalue_rmse_mev": float(np.sqrt(np.mean(errors**2))),
            "eigenvalue_mae_mev": float(np.mean(np.abs(errors))), "gap_rmse_mev": 0.32, "gap_mae_mev": 0.12,
            "equivariance_error": 4.4e-14, "levels_note": "All six levels are PySCF's own: the <lowest> ones.",
            "learning_curve": curve_rows(rng) if curve else [],
            "level_errors": [
                {"level": name, "occupied": k < n_occupied, "rmse_mev": float(np.sqrt(np.mean(errors[:, k] ** 2))),
                 "mae_mev": float(np.mean(np.abs(errors[:, k]))), "count": n_test}
                for k, name in enumerate(names)
            ],
            "block_errors": [
                {"kind": kind, "species": species, "shells": shells, "L": L, "sigma": (-1) ** (k % 5 == 4),
                 "rmse_mev": float(10 ** rng.uniform(-2, 0.5)), "items": 200, "alpha": 1e-9}
                for k, (kind, species, shells, L) in enumerate(MANY_BLOCKS if large else BLOCKS)
            ],
        }  # fmt: skip
        arrays = {"reference_ev": reference, "predicted_ev": predicted, "occupied": occupied}
        structure = np.repeat(np.arange(800, 1000), len(centres))
        np.savez(folder / "test_levels.npz", structure=structure, **{k: v.ravel() for k, v in arrays.items()})
    (folder / "results.json").write_text(json.dumps(results))
    if kind == "saph":
        write_diagnostics(folder, 800 + n_test, rng)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "MODEL_CARD.md").write_text("# Model card\n")
    return folder


def curve_rows(rng: np.random.Generator) -> list[dict[str, float]]:
    keys = ("hamiltonian_rmse_mev", "eigenvalue_rmse_mev", "eigenvalue_mae_mev", "gap_rmse_mev", "gap_mae_mev")
    return [
        {"n_train": n, "order": order} | {key: 300 / n * rng.uniform(0.5, 1.5) for key in keys}
        for n in (50, 100, 200, 400, 800)
        for order in range(3)
    ]


def write_diagnostics(folder: Path, n: int, rng: np.random.Generator) -> None:
    gap = rng.uniform(0.1, 0.4, n)
    gap[0] = np.inf
    flags = [["the threshold was halved"] if index in (3, 17) else [] for index in range(n)]
    np.savez(
        folder / "diagnostics.npz",
        smallest_singular_value=rng.uniform(0.7, 0.9, n),
        largest_singular_value=rng.uniform(1.2, 1.3, n),
        rejected_gap_hartree=gap,
        smallest_projection=rng.beta(8, 5, n),
        flags=np.array([json.dumps(entry) for entry in flags]),
        index=np.arange(n),
    )


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Make a run folder in the test's own folder."""
    return lambda name="water", **parts: write_run(tmp_path / name, **parts)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full run with its report, to be read only."""
    folder = write_run(tmp_path_factory.mktemp("finished") / "<b>&run")
    write_report(folder)
    return folder
