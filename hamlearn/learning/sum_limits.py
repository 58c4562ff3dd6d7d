"""What fits of sums of kernels cannot do, refused before any kernel is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hamlearn.config import KernelRidgeSettings, KernelSettings
from hamlearn.kernels.parts import n_parts
from hamlearn.learning.active import active_counts, check_active, family_counts
from hamlearn.learning.limits import refuse_beyond

if TYPE_CHECKING:
    from ase import Atoms

COPIES = {"full": 4, "derivatives": 4, "sparse": 8}
"""Matrices of the size of each basis held while it is solved, beside the parts of a full and the folds of a sparse."""

REMEDY = {
    "full": "use basis sparse, fewer structures, or more memory",
    "derivatives": "use fewer structures, more memory, or basis sparse",
    "sparse": "lower model.active, or raise memory_gb",
}


def check_basis(settings: KernelRidgeSettings, structures: Sequence[Atoms], width: int, kind: str) -> None:
    """Refuse a basis that the training set does not hold, or memory.

    Args:
        settings: kernel, active set and bound on the memory.
        structures: training geometries.
        width: components of the property, 2L + 1.
        kind: full, sparse or derivatives.

    Raises:
        ConfigError: saying what there is, or how much is needed.
    """
    kernel = settings.kernel
    assert isinstance(kernel, KernelSettings)
    matrices = COPIES[kind]
    if kind == "sparse":
        check_active(settings.active, structures, pairs=False)
        n = width * sum(active_counts(family_counts(structures, pairs=False), settings.active).values())
        what, matrices = "active environments and components", matrices + settings.folds
    elif kind == "derivatives":
        n, what = len(structures) + 3 * sum(map(len, structures)), "energies and derivatives"
    else:
        n, what = width * len(structures), "values"
        matrices += n_parts(kernel) + len(kernel.additive)
    what = f"model.basis {kind} of {len(structures)} structures ({n} {what}) needs"
    refuse_beyond(settings.memory_gb, matrices * 8e-9 * n**2, what, REMEDY[kind])
