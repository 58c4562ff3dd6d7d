"""What learners by kernels of pairs and of environments have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

from torch import Tensor

from hamlearn.config import KernelRidgeSettings
from hamlearn.job import Job
from hamlearn.learning.active import clipped_active
from hamlearn.learning.choice import Settings, grid_of
from hamlearn.learning.domain import Domain
from hamlearn.learning.groups import Answers, Group
from hamlearn.learning.protocols import Learner

if TYPE_CHECKING:
    from ase import Atoms


class KernelLearner(Learner[KernelRidgeSettings], Generic[Settings]):
    """Learner whose kernels may have a grid of settings.

    Attributes:
        kernel_: fitted kernels, with the settings that the grid chose.
        has_posterior_: whether the fit found what error bars need.
    """

    HAS_ERROR_BARS = True

    OF_PAIRS: ClassVar[bool]
    """Whether pairs of atoms are learned, or atoms alone."""

    kernel_: Any
    has_posterior_: bool

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

    def predict(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return h = K x of every group and row of new geometries."""
        self.domain_.check(structures)
        return self._answers(structures, job, covariance=False)

    def predict_with_covariance(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return the same with s^2 (k(*, *) - (k F)(k F)^T) of every structure and group, of sums noise included."""
        self.domain_.check(structures)
        if not self.has_posterior_:
            return super().predict_with_covariance(structures, job)
        return self._answers(structures, job, covariance=True)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the domain and the settings chosen, and densities, basis, weights and posteriors."""
        return {"domain": self.domain_.state(), "kernel": self.kernel.model_dump(mode="json")}, self.kernel_.tensors()

    @classmethod
    def from_state(
        cls,
        settings: KernelRidgeSettings,
        groups: Mapping[Group, int],
        spec: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
    ) -> Self:
        """Return the fitted learner whose :meth:`state` this is."""
        out = cls(settings)
        out.domain_ = Domain.from_state(spec["domain"])
        out._restore(groups, spec, tensors)
        return out

    @abstractmethod
    def _answers(self, structures: Sequence[Atoms], job: Job, covariance: bool) -> Answers:
        """Return predictions for structures within the domain."""

    @abstractmethod
    def _restore(self, groups: Mapping[Group, int], spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Take in what :meth:`state` returned, the domain apart."""
