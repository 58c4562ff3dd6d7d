"""What the scripts of Hamiltonians share: sets of structures, their calculations, fits, and tables of results."""

import csv
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from numpy.typing import NDArray

from hamlearn import HamiltonianModel, QMSettings
from hamlearn.artifacts import written_atomically
from hamlearn.config import (
    BondFrameFeatures,
    BondFrameKernel,
    DensitySettings,
    FeatureSettings,
    KernelRidgeSettings,
    RidgeSettings,
    SaphTarget,
    WignerSettings,
)
from hamlearn.config.learners import ActiveBy
from hamlearn.job import Job
from hamlearn.learning.active import clipped_active
from hamlearn.learning.domain import Domain
from hamlearn.observables import calibration_metrics, errors_with_stds, metrics, reference_prediction
from hamlearn.qm import Campaign, run_campaign
from hamlearn.targets import build_target
from hamlearn.testing.benchmark_data import benchmark_file

BASELINES = ("minao", "sto-3g")
TARGETS = {
    "direct": SaphTarget(),
    "minao": SaphTarget(delta="minao"),
    "minao-valence": SaphTarget(delta="minao", virtuals="valence"),
    "sto-3g": SaphTarget(delta="sto-3g"),
    "sto-3g-valence": SaphTarget(delta="sto-3g", virtuals="valence"),
}


@dataclass(frozen=True)
class Set:
    """A set of structures and the settings that serve it, found by cross-validation on training structures.

    Kernel models of up to ``full`` structures hold all atoms and pairs in their basis, larger ones an active set:
    ``active`` of each kind, as far as there are so many.
    """

    file: str
    train: int
    test: int
    wigner: WignerSettings
    features: FeatureSettings
    bonds: BondFrameFeatures = field(default_factory=BondFrameFeatures)
    process: BondFrameKernel = field(default_factory=BondFrameKernel)
    full: int = 200
    elements: str = "CHNO"
    active: int | dict[str, int] = 2000
    active_by: ActiveBy = "farthest"
    qm: QMSettings = field(default_factory=QMSettings)


SETS = {
    "ethanol": Set(
        "ethanol_4500.extxyz",
        1000,
        500,
        WignerSettings(),
        FeatureSettings(cutoff_angstrom=4.5, max_l=4, max_n=4),
        active={"H": 3000, "C": 2000, "O": 1000, "H-H": 5000, "H-C": 3333, "H-O": 3000, "C-C": 1000, "C-O": 2000},
        active_by="structures",
    ),
    "qm7": Set(
        "qm7_original_7165.extxyz",
        900,
        100,
        WignerSettings(pair_cutoff_angstrom=10.0),
        FeatureSettings(cutoff_angstrom=4.5, max_l=4, max_n=4, pair_cutoff_angstrom=10.0),
        active=dict.fromkeys(("H", "C", "N", "O", "H-N", "H-O", "C-C", "C-N", "C-O", "N-N", "N-O", "O-O"), 1000)
        | {"H-H": 1500, "H-C": 2000},
        bonds=BondFrameFeatures(max_features=2500),  # a quarter of an hour for 900 molecules
    ),
    "water": Set(
        "water_1000.extxyz",
        500,
        200,
        WignerSettings(max_l=6, smearing_angstrom=0.4, smearing_growth_angstrom=None),
        FeatureSettings(max_l=8),
        full=500,
    ),
}


def load(chosen: Set) -> list[Atoms]:
    """Return the structures of a set that are made of its elements."""
    atoms = read(benchmark_file(chosen.file), ":")
    return [a for a in atoms if set(a.get_chemical_symbols()) <= {"H", *chosen.elements}]


def calculate(
    chosen: Set, atoms: Sequence[Atoms], folder: Path, executor: str = "local"
) -> tuple[Campaign, NDArray[np.int64]]:
    """Return the calculations of some structures, continued if they are there, and which did not fail, ascending.

    A folder of calculations that kept other guesses is refused.
    """
    campaign = run_campaign(atoms, chosen.qm, folder, guess_focks=BASELINES, executor=executor, echo=print)
    for index, reason in campaign.failures.items():
        print(f"structure {index} is left out: {reason}")
    return campaign, np.setdiff1d(np.arange(len(atoms)), list(campaign.failures))


def fit_and_test(
    campaign: Campaign, atoms: list[Atoms], members: list[int], tests: list[int], model: HamiltonianModel, job: Job
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return figures and arrays of one fit; positions are those of ``atoms``.

    The peak of memory is that of the process so far, with its largest worker.
    """
    train, test = ([build_target(campaign.load(k), model.target) for k in part] for part in (members, tests))
    start = time.perf_counter()
    model.fit([atoms[k] for k in members], train, job)
    fitted = time.perf_counter()
    sides = [target.side for target in test]
    bars = bool(model.model.error_bars)
    predictions = model.predict([atoms[k] for k in tests], job, sides, std="levels" if bars else False)
    seconds = {"fit_seconds": fitted - start, "predict_seconds": time.perf_counter() - fitted}
    references = [reference_prediction(target) for target in test]
    row = metrics(predictions, references) | {"n_inside": len(tests)} | seconds
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    row["peak_memory_gb"] = peak * 1024e-9
    arrays = {}
    for name, (errors, stds) in errors_with_stds(predictions, references).items() if bars else ():
        arrays |= {f"{name}_errors_ev": errors, f"{name}_stds_ev": stds}
        row |= {f"{name}_{key}": value for key, value in calibration_metrics(errors, stds).items()}
    return row, arrays


def set_of(name: str, active: int | None) -> Set:
    """Return a set, with so many farthest atoms and pairs of a kind in its active sets if a number is given."""
    return SETS[name] if active is None else replace(SETS[name], active=active, active_by="farthest")


def active_of(chosen: Set, kind: str = "wigner", n: int | None = None) -> int | str:
    """Return what tells an active set of a fit of n structures from others; empty where there is none."""
    if kind != "wigner" or (n is not None and n <= chosen.full):
        return ""
    return chosen.active if isinstance(chosen.active, int) else f"{chosen.active_by}-{sum(chosen.active.values())}"


def new_model(
    chosen: Set, target: str, kind: str, train: Sequence[Atoms], memory_gb: float, error_bars: bool = True
) -> HamiltonianModel:
    """Return the model of one fit."""
    common = {"memory_gb": memory_gb, "error_bars": error_bars}
    if kind == "process":
        full = KernelRidgeSettings(kernel=chosen.process, basis="full", **common)
        return HamiltonianModel(chosen.qm, TARGETS[target], full)
    if kind != "wigner":
        features = environment_of(chosen, kind)
        return HamiltonianModel(chosen.qm, TARGETS[target], RidgeSettings(features=features, **common))
    basis: dict = {"basis": "full"}
    if active_of(chosen, kind, len(train)):
        basis = {"basis": "sparse", "active": clipped_active(chosen.active, train), "active_by": chosen.active_by}
    return HamiltonianModel(chosen.qm, TARGETS[target], KernelRidgeSettings(kernel=chosen.wigner, **basis, **common))


def environment_of(chosen: Set, kind: str) -> DensitySettings:
    """Return the settings of the densities of a model."""
    of_kinds = {
        "wigner": chosen.wigner,
        "ridge": chosen.features,
        "bond_frame": chosen.bonds,
        "process": chosen.process,
    }
    return of_kinds[kind]


def inside_of(environment: DensitySettings, atoms: list[Atoms], train: list[int], tests: list[int]) -> list[int]:
    """Return the test structures whose pairs of elements, and neighbours in environments, the training set holds."""
    known = Domain.of([atoms[k] for k in train], environment)
    inside = [k for k in tests if not known.lacks(atoms[k])]
    if len(inside) < len(tests):
        print(f"{len(tests) - len(inside)} test structures hold pairs of elements or neighbours the training set lacks")
    return inside


def read_rows(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table that was begun."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def done(table: Path, name: dict[str, object]) -> bool:
    """Return whether a row with these entries is there."""
    return any(all(row[key] == str(value) for key, value in name.items()) for row in read_rows(table))


def add_row(table: Path, row: dict[str, object]) -> None:
    """Add a row to a table, which is written at once."""
    rows = [*read_rows(table), row]
    names = list(dict.fromkeys(key for each in rows for key in each))
    with written_atomically(table) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
