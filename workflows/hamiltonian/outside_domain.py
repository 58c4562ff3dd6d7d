"""Does a model know which molecules it was not trained for, and how wrong it is there?

Two models, both in the frames of bonds with error bars: of ethanol (200 structures of the benchmark set, direct), and
of acetamide and thiophene (90 distortions of ASE's G2 molecules, delta of STO-3G). Each predicts 100 or 30 other
structures of its set, and 50 molecules outside: bonds stretched, larger molecules, and the same elements bound
otherwise. What a model refuses (pairs of elements that it never saw) is counted by itself:

    python workflows/hamiltonian/outside_domain.py OUT [ethanol | amides]

Calculations go to OUT/SET, rows of all molecules to OUT/outside_domain_SET.csv.
"""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
from ase import Atoms
from study import SETS, Set, calculate, load

from hamlearn import BondFrameFeatures, HamiltonianModel, RidgeSettings, SaphTarget, build_target
from hamlearn.artifacts import written_atomically
from hamlearn.errors import DomainError, OutsideWarning
from hamlearn.job import Job
from hamlearn.observables import reference_prediction
from hamlearn.structures.splits import split
from hamlearn.targets import Target

DISPLACEMENT = 0.04  # Å, of heavy atoms; hydrogen moves half as far again
AMIDES = ("CH3CONH2", "C4H4S")
LENGTHS = (1.35, 1.5, 1.7, 1.9, 2.1)  # times the bond
LARGER_ETHERS = ("CH3CH2OCH3", "isobutane", "trans-butane", "C3H8", "C4H4O", "CH3COCH3", "C3H6_D3h", "C6H6")
OTHERS_CHO = ("CH3OCH3", "C2H4", "CH3CHO", "H2CCO", "C2H2")
OTHERS_CHNOS = ("CH3CH2OCH3", "C5H5N", "C4H4NH", "CH3CH2NH2", "CH3CH2SH", "CH3SCH3", "CH2SCH2", "CH3CN", "CH3COCH3")
OTHERS_CHNOS += ("C4H4O", "HCOOCH3", "H3CNH2", "CH3OH", "trans-butane", "C6H6")
MODEL = RidgeSettings(features=BondFrameFeatures(), error_bars=True)


@dataclass(frozen=True)
class Problem:
    """A training set, and molecules inside and outside."""

    settings: Set
    target: SaphTarget
    train: list[Atoms]
    inside: list[Atoms]
    outside: list[tuple[str, Atoms]]


def distorted(name: str, rng: np.random.Generator) -> Atoms:
    """Return one of ASE's molecules with random displacements."""
    atoms = ase.build.molecule(name)
    size = DISPLACEMENT * np.where(atoms.numbers == 1, 1.5, 1.0)[:, None]
    return Atoms(atoms.symbols, atoms.positions + size * rng.normal(size=atoms.positions.shape))


def stretched(atoms: Atoms, factor: float, bond: int) -> Atoms:
    """Return a molecule with one of its bonds that end in a terminal atom or chain made longer, all beyond moved."""
    d = atoms.get_all_distances() + 9 * np.eye(len(atoms))
    ends = [(int(np.argmin(d[k])), k) for k in range(len(atoms)) if atoms.numbers[k] == 1]
    heavy = [k for k in range(len(atoms)) if atoms.numbers[k] != 1]
    ends += [(a, b) for a in heavy for b in heavy if a < b and d[a, b] < 1.6]
    first, second = ends[bond % len(ends)]
    out, vector = atoms.copy(), atoms.positions[second] - atoms.positions[first]
    moved = [k for k in range(len(atoms)) if d[second, k] < d[first, k] or k == second]
    out.positions[moved] += (factor - 1) * vector
    return out


def ethanol() -> Problem:
    """Return the ethanol of the benchmark set; outside are stretched ones and other molecules of H, C and O."""
    rng, everything = np.random.default_rng(16), load(SETS["ethanol"])
    train, test = split(len(everything), 1000, 500, 0)
    atoms = [everything[k] for k in (*train, *test)]
    outside = [("stretched", stretched(atoms[1000 + k], LENGTHS[k % 5], k)) for k in range(25)]
    outside += [("larger", distorted(LARGER_ETHERS[k % 8], rng)) for k in range(15)]
    outside += [("otherwise bound", distorted(OTHERS_CHO[k % 5], rng)) for k in range(10)]
    return Problem(SETS["ethanol"], SaphTarget(), atoms[:200], atoms[1000:1100], outside)


def amides() -> Problem:
    """Return distorted acetamide and thiophene; outside are stretched ones and other molecules of H, C, N, O and S."""
    rng = np.random.default_rng(0)
    inside = [distorted(name, rng) for _ in range(60) for name in AMIDES]
    outside = [("stretched", stretched(inside[90 + k], LENGTHS[k % 5], k)) for k in range(20)]
    outside += [("otherwise bound", distorted(OTHERS_CHNOS[k % 15], rng)) for k in range(30)]
    settings = Set("", 90, 30, SETS["ethanol"].wigner, SETS["ethanol"].features)
    return Problem(settings, SaphTarget(delta="sto-3g"), inside[:90], inside[90:], outside)


def predicted(model: HamiltonianModel, atoms: Atoms, target: Target) -> dict[str, Any]:
    """Return errors and error bars of one molecule, and its flags; the reason of a refusal."""
    row: dict[str, Any] = {"formula": atoms.get_chemical_formula()}
    reference = reference_prediction(target)
    try:
        (prediction,) = model.predict([atoms], sides=[target.side], std=True)
    except DomainError as error:
        return {**row, "flags": f"refused: {str(error).splitlines()[-1].strip()}"}
    errors = prediction.eigenvalues_ev - reference.eigenvalues_ev
    z = np.abs(errors) / prediction.eigenvalues_std_ev
    return {
        **row,
        "flags": "; ".join(prediction.flags),
        "gap_error_ev": prediction.gap_ev - reference.gap_ev,
        "gap_std_ev": prediction.gap_std_ev,
        "largest_level_error_ev": float(np.abs(errors).max()),
        "level_std_ev": float(np.sqrt(np.mean(prediction.eigenvalues_std_ev**2))),
        "largest_z": float(z.max()),
        "bare_largest_z": float((np.abs(errors) / (model.calibration_[0] * prediction.bare_stds_ev)).max()),
    }


def told(rows: Sequence[dict[str, Any]], name: str) -> None:
    """Print how many of some molecules are flagged, and how their errors compare with their error bars."""
    known = [row for row in rows if "gap_error_ev" in row]
    flagged = sum(bool(row["flags"]) for row in rows)
    words = f"{name}: {len(rows)}, flagged or refused {flagged} (refused {len(rows) - len(known)})"
    if known:
        gap, std, largest, z, bare = (
            np.array([row[key] for row in known])
            for key in ("gap_error_ev", "gap_std_ev", "largest_level_error_ev", "largest_z", "bare_largest_z")
        )
        words += (
            f"; gap RMSE {np.sqrt(np.mean(gap**2)):.3f} eV, error bar {np.sqrt(np.mean(std**2)):.3f} eV, "
            f"within 3 bars {np.sum(np.abs(gap) < 3 * std)} of {len(gap)}; largest level error {largest.max():.2f} eV, "
            f"all levels within 3 bars {np.sum(z < 3)} of {len(z)} (bars not widened: {np.sum(bare < 3)})"
        )
    print(words)


def main(out: Path, name: str) -> None:
    """Train, predict, compare."""
    problem = {"ethanol": ethanol, "amides": amides}[name]()
    outside = [atoms for _, atoms in problem.outside]
    everything = [*problem.train, *problem.inside, *outside]
    campaign, finished = calculate(problem.settings, everything, out / name)
    targets = {int(k): build_target(campaign.load(int(k)), problem.target) for k in finished}
    n = len(problem.train)
    members = [k for k in range(n) if k in targets]
    model = HamiltonianModel(problem.settings.qm, problem.target, MODEL)
    model.fit([everything[k] for k in members], [targets[k] for k in members], Job(print))
    kinds = ["inside"] * len(problem.inside) + [kind for kind, _ in problem.outside]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideWarning)
        rows = [
            {"kind": kind, **predicted(model, everything[k], targets[k])}
            for k, kind in enumerate(kinds, start=n)
            if k in targets
        ]
    path = out / f"outside_domain_{name}.csv"
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with written_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    for kind in dict.fromkeys(kinds):
        told([row for row in rows if row["kind"] == kind], kind)
    told([row for row in rows if row["kind"] != "inside"], "all outside")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for chosen in sys.argv[2:] or ("ethanol", "amides"):
        print(f"\n{chosen}")
        main(folder, chosen)
