"""What a run folder holds, read for the report: every part but results.json may be missing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hamlearn.artifacts import load_arrays
from hamlearn.errors import ArtifactError
from hamlearn.model.folder import SPEC, read_spec
from hamlearn.report.run_texts import ADVICE, read_results, read_settings
from hamlearn.ties import tied_ranks
from hamlearn.types import BoolArray, FloatArray, IntArray

MOST_FORMULAS = 6
LEVEL_ARRAYS = ("reference_ev", "predicted_ev", "occupied", "structure")
PROPERTY_ARRAYS = ("structure", "reference", "predicted", "std")
FORCE_ARRAYS = ("reference_forces", "predicted_forces")


@dataclass(frozen=True)
class Levels:
    """Levels of all test structures, one after the other.

    Attributes:
        reference_ev: computed [level], eV.
        predicted_ev: predicted [level], eV.
        occupied: [level].
        structure: position in the test set of the structure the level belongs to [level].
        std_ev: standard deviation of each predicted level [level], eV; None without error bars.
        gap_std_ev: of each predicted gap, in the order of the structures [structure], eV.
        formula: of each structure, in the same order [structure]; None in files of older versions.
        flags: why each lies outside the training set, empty inside, in the same order [structure]; None likewise.
    """

    reference_ev: FloatArray
    predicted_ev: FloatArray
    occupied: BoolArray
    structure: IntArray
    std_ev: FloatArray | None = None
    gap_std_ev: FloatArray | None = None
    formula: NDArray[np.str_] | None = None
    flags: NDArray[np.str_] | None = None

    @property
    def errors_ev(self) -> FloatArray:
        """Predicted minus computed [level], eV."""
        return self.predicted_ev - self.reference_ev

    def ranked_structures(self) -> IntArray:
        """Structures from the smallest to the largest RMSE of their levels, equal ones as they come in the list."""
        names, place, counts = np.unique(self.structure, return_inverse=True, return_counts=True)
        mean_squares = np.bincount(place, weights=self.errors_ev**2) / counts
        return np.asarray(names[np.argsort(tied_ranks(mean_squares), kind="stable")])

    def indices(self) -> list[int]:
        """Structures as they come in the list [structure]."""
        names, first = np.unique(self.structure, return_index=True)
        return [int(k) for k in names[np.argsort(first)]]

    def structure_rmse_ev(self) -> FloatArray:
        """RMSE of the levels of each structure, as they come in the list [structure], eV."""
        _, first, place, counts = np.unique(self.structure, return_index=True, return_inverse=True, return_counts=True)
        mean_squares = np.bincount(place, weights=self.errors_ev**2) / counts
        return np.asarray(np.sqrt(mean_squares)[np.argsort(first)])

    def reference_gaps_ev(self) -> FloatArray:
        """Computed gaps, as the structures come in the list [structure], eV; nan if none."""
        return self._gaps(self.reference_ev)

    def predicted_gaps_ev(self) -> FloatArray:
        """Predicted gaps, as the structures come in the list [structure], eV; nan if none."""
        return self._gaps(self.predicted_ev)

    def gap_spread_ev(self) -> float:
        """Standard deviation of the computed HOMO-LUMO gaps, eV: the error of always answering their mean."""
        gaps = self._gaps(self.reference_ev)
        gaps = gaps[np.isfinite(gaps)]
        return float(np.std(gaps, ddof=1)) if gaps.size > 1 else 0.0

    def gap_spreads_ev(self) -> dict[str, float]:
        """Return the same inside each formula of which there are several structures, the most frequent ones first."""
        if self.formula is None:
            return {}
        gaps = self._gaps(self.reference_ev)
        counts = Counter(self.formula[np.isfinite(gaps)].tolist())
        return {
            name: float(np.nanstd(gaps[self.formula == name], ddof=1))
            for name, count in counts.most_common(MOST_FORMULAS)
            if count > 1
        }

    def gap_errors_ev(self) -> FloatArray:
        """Predicted minus computed HOMO-LUMO gaps, in the order of the structures [structure], eV; nan if none."""
        return self.predicted_gaps_ev() - self.reference_gaps_ev()

    def _gaps(self, levels: FloatArray) -> FloatArray:
        """Return the gaps of structures as they come in the list; nan where a frontier level is missing."""
        _, first, place = np.unique(self.structure, return_index=True, return_inverse=True)
        homo, lumo = np.full(len(first), -np.inf), np.full(len(first), np.inf)
        np.maximum.at(homo, place[self.occupied], levels[self.occupied])
        np.minimum.at(lumo, place[~self.occupied], levels[~self.occupied])
        gaps = np.where(np.isfinite(homo) & np.isfinite(lumo), lumo - homo, np.nan)
        return np.asarray(gaps[np.argsort(first)])


@dataclass(frozen=True)
class ProjectionDiagnostics:
    """How well the projection on a minimal basis went, one entry per structure: training set, then test set.

    Attributes:
        smallest_singular_value: of the overlap of minimal basis and accepted orbitals [structure].
        largest_singular_value: [structure].
        rejected_gap_hartree: from the last accepted to the first rejected level [structure]; inf if none.
        smallest_projection: smallest residual norm of an accepted orbital [structure].
        flags: what is worth knowing about each structure, in words.
        index: position of each structure in the input file [structure].
    """

    smallest_singular_value: FloatArray
    largest_singular_value: FloatArray
    rejected_gap_hartree: FloatArray
    smallest_projection: FloatArray
    flags: list[list[str]]
    index: IntArray


@dataclass(frozen=True)
class PropertyValues:
    """A property of all test structures, known and predicted.

    Attributes:
        structure: position of each structure in the input file [structure].
        reference: known [structure, ...].
        predicted: [structure, ...].
        std: standard deviation of each prediction, NaN where there is none [structure].
        reference_forces: known [atom, 3]; None if forces were not learned.
        predicted_forces: [atom, 3].
    """

    structure: IntArray
    reference: FloatArray
    predicted: FloatArray
    std: FloatArray
    reference_forces: FloatArray | None = None
    predicted_forces: FloatArray | None = None


@dataclass(frozen=True)
class RunArtifacts:
    """Everything the report is made of.

    Attributes:
        folder: of the run.
        results: results.json.
        config: config.yaml; kernels are those of the model, with what was chosen on a grid.
        chosen: settings of the kernels that were chosen on a grid.
        in_words: what the learner says of itself.
        levels: of the test set.
        diagnostics: of the projection.
        properties: of the test set.
    """

    folder: Path
    results: Mapping[str, Any]
    config: Mapping[str, Any]
    chosen: Mapping[str, Any]
    levels: Levels | None
    diagnostics: ProjectionDiagnostics | None
    properties: PropertyValues | None = None
    in_words: Sequence[str] = ()


def read_run(folder: Path) -> RunArtifacts:
    """Read what a run left in its folder.

    Raises:
        ArtifactError: if results.json or config.yaml is missing, or a file is damaged or of a newer format.
    """
    results, config = read_results(folder), read_settings(folder)
    grid = (config["model"].get("kernel") or {}).get("grid") or {}
    model: Mapping[str, Any] = {}
    if (folder / "model" / SPEC).exists():
        model = read_spec(folder / "model")
        if "kernel" in model["learner"]:
            config = {**config, "model": {**config["model"], "kernel": model["learner"]["kernel"]}}
    levels = _read_arrays(folder / "test_levels.npz", LEVEL_ARRAYS, ("std_ev", "gap_std_ev", "formula", "flags"))
    diagnostics = _read_arrays(folder / "diagnostics.npz", tuple(ProjectionDiagnostics.__dataclass_fields__))
    properties = _read_arrays(folder / "test_properties.npz", PROPERTY_ARRAYS, FORCE_ARRAYS)
    if diagnostics:
        diagnostics["flags"] = [json.loads(str(text)) for text in diagnostics["flags"]]
    return RunArtifacts(
        folder=folder,
        results=results,
        config=config,
        chosen={name: config["model"]["kernel"].get(name) for name in grid} if model else {},
        in_words=model.get("in_words") or (),
        levels=Levels(**levels) if levels and len(levels["structure"]) else None,
        diagnostics=ProjectionDiagnostics(**diagnostics) if diagnostics else None,
        properties=PropertyValues(**properties) if properties else None,
    )


def _read_arrays(path: Path, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """The named arrays of an npz file, and optional ones that are there; None if there is no such file."""
    if not path.exists():
        return None
    arrays = load_arrays(path, ADVICE)
    if not set(names) <= set(arrays):
        raise ArtifactError(f"{path} is damaged; {ADVICE}")
    return {name: arrays[name] for name in (*names, *optional) if name in arrays}
