"""What a run is expected to take: time, memory and disk, from one timed Fock matrix and counts of rows and features.

Constants are those of the machine of workflows/README.md; times are right within a factor of two or so, of fits of many
large molecules within four.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hamlearn.config import BondFrameFeatures, ModelSettings, RidgeSettings
from hamlearn.qm.molecule import COST_POWER
from hamlearn.workflow.automatic.sampling import Sample

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.learning.groups import Group

CYCLES = 12
"""Of an SCF that converges as usual."""

SMALL_SHARE = 0.15
"""Of a first Fock matrix that an SCF in STO-3G takes before it."""

MATRICES = 5
"""Of a molecule on disk: Fock matrix, overlap, two guesses, and what is learned."""

SECONDS_PER_ENTRY, SECONDS_PER_PRODUCT = 5e-8, 1.2e-11
"""Of a fit: for every number of a feature, and for every product of two in the equations of a problem."""

CUBES = 8
"""Factors and spectra of the smaller of rows and features of a problem, in units of their cube."""

ERROR_BARS = 3.5
"""Times of what a fit takes without: covariances of every structure left out."""

SECONDS_TO_BEGIN, ENOUGH = 6.0, 60
"""Of densities, variables and the choice of products, from so many structures on."""

SECONDS_PER_KERNEL = 3e-7
"""Of the process that tells the slopes of variables, for every pair of rows."""


@dataclass(frozen=True)
class FitCosts:
    """What a fit is expected to take.

    Attributes:
        seconds: of one core.
        memory_gb: at its peak.
        most_features: of one symmetry, as settings or memory say.
    """

    seconds: float
    memory_gb: float
    most_features: int


@dataclass(frozen=True)
class Costs:
    """What a run is expected to take.

    Attributes:
        calculations_s: wall time of all calculations.
        calculation_s: of one calculation, the molecule of middle size.
        guess_s: of the guess that a prediction of it needs.
        fits: of the final fit and those of the learning curve; None for learners that are not estimated.
        disk_gb: of calculations and targets.
    """

    calculations_s: float
    calculation_s: float
    guess_s: float
    fits: tuple[FitCosts, ...] | None
    disk_gb: float

    @property
    def total_s(self) -> float:
        """Time of calculations and fits, as far as it is estimated."""
        return self.calculations_s + sum(fit.seconds for fit in self.fits or ())


def calculation_seconds(sample: Sample, n_functions: int, guess: bool) -> float:
    """Return the time of the SCF of a molecule with so many basis functions, with or without another guess."""
    cycles = CYCLES + (1 if guess else 0)
    return (sample.first_seconds + cycles * sample.cycle_seconds) * (n_functions / sample.n_functions) ** COST_POWER


def guess_seconds(sample: Sample, delta: str) -> float:
    """Return the time that the guess of a prediction takes, for the molecule that was timed."""
    if delta in ("none", "core"):
        return 0.0
    return sample.first_seconds * (1.0 + (SMALL_SHARE if delta == "sto-3g" else 0.0))


def fit_costs(model: ModelSettings, training: Sequence[Atoms], n_targets: Mapping[Group, int]) -> FitCosts | None:
    """Return what a fit takes of features in the frames of bonds; None for other learners."""
    if not isinstance(model, RidgeSettings) or not isinstance(model.features, BondFrameFeatures):
        return None
    from hamlearn.learning.bond_budget import BondBudget
    from hamlearn.learning.bond_slopes import FEWEST_STRUCTURES, MOST_STRUCTURES

    budget = BondBudget(model, model.features)
    most, memory = budget.gigabytes(training, n_targets, bool(model.error_bars))
    sizes = budget.sizes(training, n_targets, most)
    entries = sum(n * q for n, q in sizes)
    products = sum(n * q * min(n, q) + CUBES * min(n, q) ** 3 for n, q in sizes)
    seconds = SECONDS_TO_BEGIN * min(1.0, len(training) / ENOUGH)
    seconds += SECONDS_PER_ENTRY * entries + SECONDS_PER_PRODUCT * products
    if model.features.relevance and len(training) >= FEWEST_STRUCTURES:
        share = min(1.0, MOST_STRUCTURES / len(training))
        seconds += SECONDS_PER_KERNEL * sum((share * n) ** 2 for n, _ in sizes)
    return FitCosts(seconds * (ERROR_BARS if model.error_bars else 1.0), memory, most)


def disk_gigabytes(n_functions: Sequence[int]) -> float:
    """Return what calculations of molecules with so many basis functions take on disk."""
    return 8e-9 * MATRICES * sum(n**2 for n in n_functions)
