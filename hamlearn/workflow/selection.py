"""What to compute next, from files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hamlearn.artifacts import written_atomically
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ConfigError
from hamlearn.job import Job
from hamlearn.workflow.new_folders import new_folder, refuse_used

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.model.selection import By, Of, Selection
    from hamlearn.structures import Structures

CHOSEN, TABLE, OUTSIDE = "selected.extxyz", "selected.csv", "outside.extxyz"
UNFINISHED = (CHOSEN, OUTSIDE)
"""What a killed selection leaves; the table is written last."""


@dataclass(frozen=True, eq=False, repr=False)
class SelectionReport(ByValue, Shown):
    """A selection with the molecules it is of.

    Attributes:
        selection: indices, error bars, distances, and what is outside.
        structures: all candidates.
        of: what the error bars are of, gap or levels.
    """

    selection: Selection
    structures: Sequence[Atoms]
    of: str

    def shown(self) -> dict[str, object]:
        """Return how many were chosen of how many, and which."""
        chosen = self.selection
        return {
            "chosen": len(chosen.indices),
            "candidates": len(self.structures),
            "outside": len(chosen.outside),
            "indices": tuple(chosen.indices.tolist()),
            f"{self.of}_std_ev": chosen.stds_ev,
            "distances": chosen.distances,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per chosen molecule in order: rank, index, formula, error bar in eV or nan, distance."""
        s = self.selection
        return [
            {
                "rank": rank,
                "index": int(index),
                "formula": self.structures[index].get_chemical_formula(),
                f"{self.of}_std_ev": float(std),
                "distance": float(distance),
            }
            for rank, (index, std, distance) in enumerate(zip(s.indices, s.stds_ev, s.distances, strict=True), 1)
        ]

    def printed_rows(self) -> list[tuple[object, ...]]:
        """Return the same in short for a table, error bars in meV."""
        return [
            (row["rank"], row["index"], row["formula"], f"{1e3 * std:.3g}" if isfinite(std) else "-", f"{distance:.4f}")
            for row in self.rows()
            for std, distance in [(row[f"{self.of}_std_ev"], row["distance"])]
        ]

    @property
    def outside(self) -> list[tuple[int, str, str]]:
        """Index, formula and reason of every candidate outside the model's domain."""
        found = self.selection.outside.items()
        return [(index, self.structures[index].get_chemical_formula(), why) for index, why in found]

    @property
    def files(self) -> list[str]:
        """Names of the files :func:`select` writes."""
        return [CHOSEN, TABLE, *([OUTSIDE] if self.selection.outside else [])]


def select(
    model_folder: str | Path,
    candidates: Structures,
    n: int,
    out: str | Path | None = None,
    by: By = "uncertainty",
    of: Of = "gap",
    known: Structures | None = None,
    executor: str = "serial",
) -> SelectionReport:
    """Choose which molecules to compute next; see :func:`hamlearn.select_structures`.

    Args:
        model_folder: folder of a saved model of Hamiltonians.
        candidates: any file ASE reads, or molecules themselves, Å.
        n: how many to choose.
        out: folder for selected.extxyz and selected.csv, and outside.extxyz if there is anything; None: nothing is
            written. One that is not empty is refused.
        by: uncertainty, farthest or both.
        of: error bars of the gap or of the levels.
        known: structures that need no computing, given in the same ways.
        executor: where kernels are computed.

    Raises:
        HamlearnError: for a bad model, bad structures, too few candidates or a used folder.
    """
    from hamlearn.model.loading import load_model
    from hamlearn.structures import as_structures

    if out is not None:
        refuse_used(Path(out), UNFINISHED)
    model = load_model(model_folder)  # before what is heavy loads: most refusals are its
    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.model.selection import choose

    if not isinstance(model, HamiltonianModel):
        raise ConfigError(f"{model_folder} holds a model of a property; select needs one of Hamiltonians")
    structures = as_structures(candidates, "the candidates")
    computed = [] if known is None else as_structures(known, "the known structures")
    report = SelectionReport(choose(model, structures, n, by, of, computed, Job(executor=executor)), structures, of)
    if out is not None:
        write_selection(Path(out), report)
    return report


def write_selection(out: Path, report: SelectionReport) -> None:
    """Write chosen molecules, and those outside the domain; ``hamlearn_index`` counts all candidates from 0."""
    rows, std = report.rows(), f"{report.of}_std_ev"
    chosen = [(row["index"], {"hamlearn_index": row["index"], f"hamlearn_{std}": row[std]}) for row in rows]
    chosen = [(index, {name: x for name, x in info.items() if isfinite(x)}) for index, info in chosen]
    beyond = [(index, {"hamlearn_index": index, "hamlearn_outside": why}) for index, _, why in report.outside]
    with new_folder(out, UNFINISHED):
        if beyond:
            _write_structures(out / OUTSIDE, report.structures, beyond)
        _write_structures(out / CHOSEN, report.structures, chosen)
        with written_atomically(out / TABLE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _write_structures(path: Path, structures: Sequence[Atoms], labelled: Sequence[tuple[int, dict[str, Any]]]) -> None:
    from hamlearn.structures.write import write_extxyz

    copies = []
    for index, info in labelled:
        copies.append(structures[index].copy())
        copies[-1].info |= info
    write_extxyz(path, copies)
