"""Point group of one molecule and the irreps of its levels: the table, the JSON and the diagram."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.artifacts import written_atomically
from hamlearn.config import FockTarget, QMSettings
from hamlearn.display import SUBSCRIPT, Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ArtifactError, ConfigError, StructureError, check_type
from hamlearn.observables import AnyPrediction, SpinPrediction
from hamlearn.symmetry import Multiplet, PointGroup, levels_between
from hamlearn.symmetry.characters import FINITE_SUBGROUP
from hamlearn.symmetry.naming import orbital_name
from hamlearn.symmetry.point_group import larger_group
from hamlearn.targets.spins import SPINS
from hamlearn.units import BOHR_ANGSTROM, HARTREE_EV
from hamlearn.workflow.group_tables import group_to_json, usual_formula
from hamlearn.workflow.method_names import check_closed_shell, parse_method

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.structures import Structures

DEGENERATE_HARTREE = 1e-6
"""Levels this close are called degenerate where what is found is compared with what symmetry requires."""


@dataclass(frozen=True, eq=False, repr=False)
class SymmetryReport(ByValue, Shown):
    """What ``hamlearn symmetry`` tells of a molecule.

    Attributes:
        atoms: the molecule, symmetrised if that was asked for, Å.
        group: its point group.
        decomposition: how often every irrep occurs among the atomic orbitals; empty without a Hamiltonian.
        levels: multiplets in order of energy, of open shells first those of spin alpha; empty without a Hamiltonian.
        max_violation_hartree: largest element of |P_g H P_g^T - H|; None without a Hamiltonian.
    """

    atoms: Atoms
    group: PointGroup
    decomposition: dict[str, int]
    levels: list[Multiplet]
    max_violation_hartree: float | None

    @property
    def operations(self) -> dict[str, int]:
        """How many operations of each kind there are, such as {'E': 1, 'C3': 2, 'sigma': 3}."""
        return self.group.kinds

    def shown(self) -> dict[str, object]:
        """Return formula, group, and how the levels are spread over irreps."""
        found = {} if not self.levels else {"n_levels": len(self.levels), "decomposition": self.decomposition}
        return {
            "formula": self.atoms.get_chemical_formula(),
            "point_group": self.group.name,
            "order": self.group.order,
            "largest_deviation_angstrom": self.group.largest_deviation_angstrom,
            **found,
            "max_violation_hartree": self.max_violation_hartree,
        }

    @property
    def degeneracies(self) -> dict[int, tuple[int, int]]:
        """For each degeneracy the number of multiplets required and of those found degenerate to 1e-6 Hartree."""
        required = Counter(level.degeneracy for level in self.levels)
        limit = DEGENERATE_HARTREE * HARTREE_EV
        found = Counter(level.degeneracy for level in self.levels if level.spread_ev <= limit)
        return {degeneracy: (required[degeneracy], found[degeneracy]) for degeneracy in sorted(required)}

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the JSON file; ``order`` is null for the infinite groups of linear molecules."""
        return {
            "point_group": self.group.name,
            "order": int(self.group.order) if np.isfinite(self.group.order) else None,
            "tolerance_angstrom": self.group.tolerance_angstrom,
            "levels": [
                {
                    "energy_ev": level.energy_ev,
                    "irrep": level.irrep,
                    "degeneracy": level.degeneracy,
                    "occupation": level.occupation,
                    **({"spin": level.spin} if level.spin else {}),
                }
                for level in self.levels
            ],
            "max_violation_hartree": self.max_violation_hartree,
            **group_to_json(self.group),
        }


def symmetry_report(
    structure: Structures,
    model: str | Path | None = None,
    qm: str | QMSettings | None = None,
    tolerance_angstrom: float = 0.02,
    symmetrise: bool = False,
    group: str | None = None,
    index: int | None = None,
    charge: int | None = None,
    multiplicity: int | None = None,
) -> SymmetryReport:
    """Find the point group of a molecule and, with a model or a method, the irreps of its levels.

    Args:
        structure: a molecule, a file ASE reads, or a name of the built-in library.
        model: folder of a saved model that predicts the Hamiltonian.
        qm: METHOD/BASIS that computes it: RHF, UHF or a functional, such as ``RHF/def2-SVP`` or ``pbe/def2-SVP``
            (``upbe/def2-SVP`` unrestricted); or settings of calculations.
        tolerance_angstrom: largest deviation from the point group, Å.
        symmetrise: average the geometry over its group before anything is computed.
        group: the point group the molecule must have.
        index: which structure of the file, from 0; needed if there are several.
        charge: of the molecule, e, for ``qm``; by default what the file says, else 0.
        multiplicity: 2S + 1 of the molecule, for ``qm``; by default what the file says, else the lowest.

    Raises:
        HamlearnError: for a bad structure, another group than declared, a bad model or method, or an open shell of a
            restricted method.
    """
    from hamlearn import symmetry

    if model is not None and qm is not None:
        raise ConfigError("a model and a method were given; give one of them")
    check_type(qm, (str, QMSettings, type(None)), "qm", "METHOD/BASIS such as 'RHF/def2-SVP', or QMSettings")
    settings = parse_method(qm) if isinstance(qm, str) else qm
    stated = {k: x for k, x in (("charge", charge), ("multiplicity", multiplicity)) if x is not None}
    if stated and settings is None:
        raise ConfigError(f"{' and '.join(stated)} belong to a calculation; give a method with --qm as well")
    if stated and settings is not None:
        settings = QMSettings(**{**settings.model_dump(), **stated})
    atoms = _one_structure(structure, index)
    find = symmetry.point_group if group is None else lambda a, t: symmetry.require_group(a, group, t)
    found = find(atoms, tolerance_angstrom)
    if symmetrise:
        atoms = symmetry.symmetrise(atoms, found)
    if model is None and settings is None:
        return SymmetryReport(atoms, found, {}, [], None)
    prediction = _computed(atoms, settings) if settings else _predicted(atoms, str(model))
    representation = symmetry.representation(found, prediction.basis, atoms.numbers)
    names = SPINS if isinstance(prediction, SpinPrediction) else ("",)
    levels = [
        level
        for spin, p in zip(names, prediction.spins, strict=True)
        for level in symmetry.label_levels(p.hamiltonian, p.metric, p.n_occupied, found, representation, spin)
    ]
    if settings is not None and not settings.has_spins:
        check_closed_shell(levels, settings)
    decomposition = symmetry.decompose(found, prediction.basis, atoms.numbers)
    violation = max(symmetry.violation(p.hamiltonian, representation) for p in prediction.spins)
    return SymmetryReport(atoms, found, decomposition, levels, violation)


def write_symmetry(report: SymmetryReport, file: str | Path) -> list[Path]:
    """Write the JSON file and, if there are levels, the diagram beside it (.png); return what was written.

    The diagrams of open shells, one of each spin, end in ``_alpha.png`` and ``_beta.png``.

    Raises:
        ConfigError, ArtifactError: as :func:`check_json_file`.
    """
    file = Path(file)
    check_json_file(file)
    with written_atomically(file) as temporary:
        temporary.write_text(json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n")
    if not report.levels:
        return [file]
    from hamlearn.plots.levels import DEEPEST_EV, HIGHEST_EV
    from hamlearn.plots.mo_diagram import mo_diagram, mo_diagram_size
    from hamlearn.plots.style import new_figure, save_figure

    written = [file]
    lowest_ev = DEEPEST_EV if report.levels[-1].energy_ev > DEEPEST_EV else -np.inf  # cores would squeeze the rest
    for spin in dict.fromkeys(level.spin for level in report.levels):
        levels = [level for level in report.levels if level.spin == spin]
        figure, ax = new_figure(*mo_diagram_size(levels))
        name = usual_formula(report.atoms.numbers).translate(SUBSCRIPT)
        title = f"{name}, {report.group.name.replace('inf', '∞')}{f', spin {spin}' if spin else ''}"
        mo_diagram(ax, levels, title, lowest_ev, HIGHEST_EV)
        written.append(_picture(file, spin))
        with written_atomically(written[-1]) as temporary:
            save_figure(figure, temporary)
    return written


def _picture(file: Path, spin: str) -> Path:
    return file.with_name(f"{file.stem}_{spin}.png") if spin else file.with_suffix(".png")


def check_json_file(file: Path) -> None:
    """Refuse a file that does not end in .json or has no folder (ConfigError), or that exists (ArtifactError)."""
    if file.suffix != ".json" or not file.parent.is_dir() or file.is_dir():
        raise ConfigError(f"{file}: expected a file that ends in .json, in a folder that exists")
    for path in (file, *(_picture(file, spin) for spin in ("", *SPINS))):
        if path.exists():
            raise ArtifactError(f"{path} exists already; give a new name, nothing is overwritten")


def printed_report(
    report: SymmetryReport, window: tuple[int, int] | None = None
) -> tuple[list[tuple[str, str]], list[tuple[str, ...]]]:
    """Return what the terminal shows: facts with their names, and the table of levels (empty if there are none).

    Args:
        report: of a molecule.
        window: first and last level to show, from 1.

    Raises:
        StructureError: if the window cuts a degenerate level.
        ConfigError: for a window of levels without a Hamiltonian.
    """
    group = report.group
    order = f"{int(group.order)} operations" if np.isfinite(group.order) else "infinite"
    counts = {c.name: len(c.members) for c in group.classes} if np.isfinite(group.order) else report.operations
    kinds = ", ".join(f"{count} {name}" if count > 1 else name for name, count in counts.items())
    facts = [
        ("point group", f"{group.name} ({order})"),
        ("operations" if np.isfinite(group.order) else f"treated in {FINITE_SUBGROUP[group.name]}", kinds),
        ("largest deviation", f"{group.largest_deviation_angstrom:.2g} Å (tolerance {group.tolerance_angstrom:g} Å)"),
    ]
    if wider := larger_group(report.atoms, group):
        deviation = wider.largest_deviation_angstrom
        facts.append(("nearly", f"{wider.name} within {deviation:.2g} Å (--tolerance {1.01 * deviation:.2g})"))
    if not report.levels:
        if window is not None:
            raise ConfigError("levels were asked for, but there is no Hamiltonian; give --model or --qm as well")
        return facts, []
    sums = " + ".join(
        f"{count if count > 1 else ''}{orbital_name(name)}" for name, count in report.decomposition.items()
    )
    degeneracies = "; ".join(f"{d}-fold {found} of {wanted}" for d, (wanted, found) in report.degeneracies.items())
    spread = max(level.spread_ev for level in report.levels) / HARTREE_EV
    facts += [
        ("orbitals", sums),
        ("found of required", f"{degeneracies} (within {DEGENERATE_HARTREE:g} Hartree; largest spread {spread:.1e})"),
        ("largest violation", f"{report.max_violation_hartree:.1e} Hartree"),
    ]
    if (
        any(found < wanted for wanted, found in report.degeneracies.values())
        and group.largest_deviation_angstrom > 1e-6
    ):
        deviation = group.largest_deviation_angstrom
        facts.append(("note", f"the geometry deviates by {deviation:.2g} Å; --symmetrise makes it exact"))
    if cut := [level for level in report.levels if 0 < level.occupation < level.capacity]:
        listed = (
            f"{f'{m.spin} ' if m.spin else ''}{orbital_name(m.irrep)} ({m.occupation} of {m.capacity})" for m in cut
        )
        facts.append(("partly filled", ", ".join(listed)))
    shown = report.levels
    if window is not None:
        of_spins = [[m for m in report.levels if m.spin == s] for s in dict.fromkeys(m.spin for m in report.levels)]
        shown = [level for levels in of_spins for level in levels_between(levels, *window)]
    return facts, _level_rows(shown)


def _level_rows(levels: Sequence[Multiplet]) -> list[tuple[str, ...]]:
    has_spins = any(level.spin for level in levels)
    head = ("irrep", "energy / eV", "degeneracy", "electrons", "levels", "spread / eV")
    rows: list[tuple[str, ...]] = [("spin", *head) if has_spins else head]
    for level in levels:
        first, last = level.indices[0] + 1, level.indices[-1] + 1
        places = f"{first}-{last}" if last > first else f"{first}"
        energy, spread = f"{level.energy_ev:.4f}", f"{level.spread_ev:.0e}"
        row = (orbital_name(level.irrep), energy, str(level.degeneracy), str(level.occupation), places, spread)
        rows.append((level.spin, *row) if has_spins else row)
    return rows


def parse_window(text: str) -> tuple[int, int]:
    """Return first and last of FIRST:LAST.

    Raises:
        ConfigError: if it is not of this form.
    """
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None:
        raise ConfigError(f"--levels {text}: expected FIRST:LAST, such as 16:21, counted from 1")
    return int(match[1]), int(match[2])


def _one_structure(structure: Structures, index: int | None) -> Atoms:
    from hamlearn.structures import as_structure, molecule

    if isinstance(structure, str) and not set("./") & set(structure) and not Path(structure).exists():
        try:
            return molecule(structure)
        except StructureError as error:
            raise StructureError(f"there is no file {structure}, and {error}") from None
    return as_structure(structure, index)


def _predicted(atoms: Atoms, folder: str) -> AnyPrediction:
    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.model.loading import load_model

    model = load_model(folder)
    if not isinstance(model, HamiltonianModel):
        raise ConfigError(f"{folder} holds a model of a property; symmetry needs one of Hamiltonians")
    return model.predict([atoms])[0]


def _computed(atoms: Atoms, settings: QMSettings) -> AnyPrediction:
    from hamlearn.observables import reference_prediction
    from hamlearn.qm import run_scf
    from hamlearn.structures import check_structures
    from hamlearn.structures.charges import of_molecule
    from hamlearn.targets import build_target

    check_structures([atoms], source="the structure", qm=settings)
    record = run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, of_molecule(settings, atoms))
    return reference_prediction(build_target(record, FockTarget()))
