"""What is known of molecules before they are calculated: counts, sizes, how levels scatter in a small basis."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.config import QMSettings
from hamlearn.errors import BasisError, SCFError, StructureError
from hamlearn.structures.charges import of_molecule
from hamlearn.types import FloatArray
from hamlearn.units import BOHR_ANGSTROM, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

MOST_SAMPLED = 12
"""Molecules whose levels are computed in the small basis."""

FEWEST_ALIKE = 3
"""Molecules of one formula of which a scatter is taken."""


@dataclass(frozen=True)
class Facts:
    """What rules look at.

    Attributes:
        n_train: training structures.
        most_atoms: of a molecule.
        per_formula: training structures of a molecule's formula, the median over molecules.
        vibrations: of the largest molecule, 3 N - 6.
        guess: the best one that is cheaper than the calculations: sto-3g, or minao where STO-3G lacks elements, or the
            basis replaces electrons; None if the calculations themselves are in STO-3G.
        has_spins: whether electrons of the two spins have matrices of their own.
    """

    n_train: int
    most_atoms: int
    per_formula: float
    vibrations: int
    guess: str | None
    has_spins: bool

    @property
    def per_vibration(self) -> float:
        """Training structures of a formula for each of its vibrations."""
        return self.per_formula / self.vibrations


def facts_of(training: Sequence[Atoms], structures: Sequence[Atoms], qm: QMSettings) -> Facts:
    """Return the facts of a training set among all structures of a run; nothing is computed."""
    alike = _by_formula(training)
    largest = max(structures, key=len)
    return Facts(
        n_train=len(training),
        most_atoms=len(largest),
        per_formula=float(median(len(alike[atoms.get_chemical_formula()]) for atoms in training)),
        vibrations=max(1, 3 * len(largest) - 6),
        guess=best_guess(training, qm),
        has_spins=qm.has_spins,
    )


def scatter_ev(training: Sequence[Atoms], qm: QMSettings) -> float | None:
    """Return how occupied valence levels of an SCF in STO-3G scatter within a formula, root mean square, eV.

    Of at most 12 molecules, those first in the training set of its commonest formulas; None where no formula has three,
    or the SCF of too many does not converge. Invariant under rotations, inversion and permutations.
    """
    groups = sorted(_by_formula(training).values(), key=len, reverse=True)
    groups = [group for group in groups if len(group) >= FEWEST_ALIKE][: MOST_SAMPLED // FEWEST_ALIKE]
    variances, weights = [], []
    for group in groups:
        levels = [found for atoms in group[: MOST_SAMPLED // len(groups)] if (found := _valence(atoms, qm)) is not None]
        if len(levels) >= FEWEST_ALIKE:
            variances.append(float(np.var(levels, axis=0, ddof=1).mean()))
            weights.append(len(group))
    return HARTREE_EV * float(np.average(variances, weights=weights)) ** 0.5 if variances else None


def _by_formula(structures: Sequence[Atoms]) -> dict[str, list[Atoms]]:
    found: dict[str, list[Atoms]] = defaultdict(list)
    for atoms in structures:
        found[atoms.get_chemical_formula()].append(atoms)
    return found


def best_guess(training: Sequence[Atoms], qm: QMSettings) -> str | None:
    """Return the best guess that is cheaper than the calculations, see :class:`Facts`; None if there is none."""
    from hamlearn.qm.guess import SMALL_BASIS, check_elements

    if re.sub("[-_ ]", "", qm.basis.lower()) == "sto3g":
        return None
    try:
        check_elements([SMALL_BASIS], sorted({int(z) for atoms in training for z in atoms.numbers}), qm.basis)
    except BasisError:
        return "minao"
    return SMALL_BASIS


def _valence(atoms: Atoms, qm: QMSettings) -> FloatArray | None:
    """Return the occupied valence levels of a closed shell in STO-3G, Hartree; None if there are none."""
    from hamlearn.qm.calculation import run_scf
    from hamlearn.qm.guess import SMALL_BASIS
    from hamlearn.targets.minimal_basis import n_core

    small = QMSettings(basis=SMALL_BASIS, charge=of_molecule(qm, atoms).charge)
    try:
        core = sum(n_core(int(z)) for z in atoms.numbers)
        record = run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, small)
    except (SCFError, BasisError, StructureError):
        return None
    return record.orbital_energies[core : int((record.occupations > 0).sum())]
