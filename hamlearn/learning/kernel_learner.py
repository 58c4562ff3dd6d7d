"""What learners by kernels of pairs and of environments have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from hamlearn.config import KernelRidgeSettings
from hamlearn.learning.active import clipped_active
from hamlearn.learning.choice import Settings, grid_of
from hamlearn.learning.domain import Domain
from hamlearn.learning.protocols import Learner

if TYPE_CHECKING:
    from ase import Atoms


class KernelLearner(Learner[KernelRidgeSettings], Generic[Settings]):
    """Learner whose kernels may have a grid of settings.

    Attributes:
        kernel_: fitted kernels, with the settings that the grid chose.
    """

    OF_PAIRS: ClassVar[bool]
    """Whether pairs of atoms are learned, or atoms alone."""

    kernel_: Any

    @property
    def given(self) -> Settings:
        """Settings of the kernels as they were given."""
        kernel: Any = self.settings.kernel
        return kernel

    @property
    def kernel(self) -> Settings:
        """Settings of the kernels: those chosen of a grid after a fit."""
        return self.kernel_.settings if hasattr(self, "kernel_") else self.given

    @property
    def max_l(self) -> int:
        """Largest l of the harmonics used."""
        return self.kernel.max_l

    def domains(self, structures: Sequence[Atoms], pairs: bool = True) -> list[Domain]:
        """Return the domain of a model of some structures, for each unlike point of the grid."""
        unlike = {(s.cutoff_angstrom, s.element_likeness is None): s for s in grid_of(self.kernel)}
        return [Domain.of(structures, settings, pairs and self.OF_PAIRS) for settings in unlike.values()]

    def chosen(self) -> KernelRidgeSettings:
        """Return the settings with the kernel that the last fit chose."""
        return self.settings.with_kernel(self.kernel)

    @classmethod
    def smaller(cls, settings: KernelRidgeSettings, structures: Sequence[Atoms]) -> KernelRidgeSettings:
        """Return settings with an active set that these structures hold, and no grid."""
        fewer = settings.with_kernel(settings.kernel.model_copy(update={"grid": None}))
        return fewer.model_copy(update={"active": clipped_active(settings.active, structures, cls.OF_PAIRS)})
