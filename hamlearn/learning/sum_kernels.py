"""Kernel regression of properties: sums of kernels of the environments of a structure, with forces."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from hamlearn.config import KernelRidgeSettings, KernelSettings
from hamlearn.errors import ConfigError, HamlearnWarning
from hamlearn.job import SILENT, Job
from hamlearn.kernels import EnvironmentKernel, Environments
from hamlearn.kernels.structure_kernel import kernel_class, make_kernel
from hamlearn.learning.bases import Basis, DerivativeBasis, Functional, StructureBasis, make_basis, self_kernels_of
from hamlearn.learning.choice import choose
from hamlearn.learning.data import Data
from hamlearn.learning.domain import Domain
from hamlearn.learning.groups import Answers, Group
from hamlearn.learning.kernel_learner import KernelLearner
from hamlearn.learning.limits import refuse_alone
from hamlearn.learning.mixture import search_mixture
from hamlearn.learning.sum_fits import (
    SumFit,
    fit_active,
    fit_derivatives,
    fit_full_basis,
    parts_of,
    structure_tiles,
)
from hamlearn.learning.sum_limits import check_basis
from hamlearn.learning.sum_task import SumTask
from hamlearn.regression.alphas import SingularKernel
from hamlearn.regression.posterior import Posterior
from hamlearn.structures.arrays import structures_as_arrays, structures_of_arrays
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from hamlearn.types import IntArray

NOTHING_LEARNED = (
    "the cross-validated error is no smaller than the spread of the data: nothing was learned; look at labels, kernel "
    "and number of structures"
)

LEAST_TO_JUDGE = 20
"""Structures below which a large cross-validated error is no surprise."""

MOST_TO_CHOOSE = 200
"""Structures (the first) on which the settings of a grid are compared."""


VANISHING = 1e-12
"""Kernels of structures below are rounding: densities have a squared norm of 1 on average."""


class SumKernelLearner(KernelLearner[KernelSettings]):
    """y(A) = sum_B K(A, B) x_B, a scalar, vector or tensor as a sum of kernels of environments.

    Attributes:
        kernel_: the fitted kernel, with the settings that a grid chose.
        basis_: structures, active environments, or structures with derivatives.
        fit_: weights, mixture of the parts of the kernel, and how uncertain they are.
        hyperparameters_: a, b and c0 of the mixture, the weights of kernel.additive, and cv_error, the cross-validated
            error of the data that chose them, in units of their spreads.

    Predictions obey y(R A) = s D^L(R) y(A) for R in O(3), s = 1 for proper and sigma for improper R, and do not change
    under translations and permutations of like atoms. Gradients are exact.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024); sparse bases and derivatives: Ceriotti,
    Willatt, Csányi, Handbook of Materials Modeling (2018).
    """

    HAS_ERROR_BARS = LEARNS_FUNCTIONALS = True
    OF_PAIRS = False

    kernel_: EnvironmentKernel
    basis_: Basis
    fit_: SumFit
    group_: Group

    def __init__(self, settings: KernelRidgeSettings) -> None:
        super().__init__(settings)
        self.hyperparameters_: dict[str, float] = {}
        self._functional: Functional | None = None

    @property
    def differentiable(self) -> bool:
        """Whether gradients with respect to positions are offered: of scalars, by kernels that have them."""
        is_scalar = not hasattr(self, "group_") or self.group_.irrep == (0, 1)
        return is_scalar and make_kernel(self.kernel, self.settings.memory_gb).differentiable

    def check(self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool = False) -> None:
        """Refuse too few structures, and a basis that was named and leaves out an element or exceeds ``memory_gb``."""
        refuse_alone(len(structures), "kernels of properties need")
        if self.settings.basis is not None or self.settings.active is not None:  # else forces decide, in the fit
            for group in n_targets:
                check_basis(self.settings, structures, group.width, self.settings.basis_of_sums(forces=False))

    def fit(self, structures: Sequence[Atoms], data: Data, job: Job, held_out: bool = False) -> Self:
        """Fit; every choice is made by cross-validation over the structures given, in contiguous folds."""
        self.check(structures, data.n_targets, held_out)
        (group,) = data.groups
        kind = self.settings.basis_of_sums(data.gradients is not None)
        self.settings.check_solver(kind)
        if data.functional is not None and kind != "full":
            raise ConfigError(f"sums of structures are learned in the basis full, got {kind}; set model.basis: full")
        check_basis(self.settings, structures, group.width, kind)
        bare = [Atoms(atoms.numbers, atoms.positions) for atoms in structures]
        task = SumTask(bare, data, group, self.settings)
        chosen = self._chosen(task, job)
        kernel = make_kernel(chosen, self.settings.memory_gb).fit(bare)
        deciding = task if kind == "derivatives" else task.without_gradients()
        deciding = deciding if kind == "full" else deciding.first_to_decide()
        parts = parts_of(kernel, deciding)
        _check_not_vanishing(parts, kernel, group)
        y, variance, folds = deciding.rows()
        found = search_mixture(parts, y, variance, self.settings.with_kernel(chosen), folds)
        if kind == "full":
            basis, fit = fit_full_basis(kernel, task, parts, found.weights)
        elif kind == "derivatives":
            basis, fit = fit_derivatives(kernel, task, found.weights)
        else:
            basis, fit = fit_active(kernel, task, found.weights, job)
        last = kernel.n_parts - 1
        factor = float(fit.mixture[last] / found.weights[last])
        extra = dict(zip(chosen.additive, fit.mixture[last + 1 :].tolist(), strict=True))
        self.hyperparameters_ = {
            "a": found.a * factor, "b": found.b, "c0": found.c0 * factor, **extra, "cv_error": found.loss,
        }  # fmt: skip
        if found.loss >= 1.0 and len(structures) >= LEAST_TO_JUDGE:
            warnings.warn(NOTHING_LEARNED, HamlearnWarning, stacklevel=3)
        self.kernel_, self.basis_, self.fit_, self.group_ = kernel, basis, fit, group
        (self.domain_,) = self.domains(bare)
        self._functional = None
        return self

    def predict(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return y(A) = sum_B K(A, B) x_B [structure x m, 1]."""
        return self._predict(structures)[0]

    def predict_with_covariance(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return the same with the posterior covariance of every structure, noise included."""
        return self._predict(structures, covariance=True)[0]

    def predict_with_gradients(
        self, structures: Sequence[Atoms], job: Job, covariance: bool = False
    ) -> tuple[Answers, FloatArray]:
        """Return the same with derivatives with respect to positions [atom, 3], Å^-1."""
        if not self.differentiable:
            return super().predict_with_gradients(structures, job, covariance)
        answers, gradients = self._predict(structures, gradients=True, covariance=covariance)
        return answers, np.concatenate([np.zeros((0, 3)), *gradients])

    def predict_parts(self, structures: Sequence[Atoms]) -> FloatArray:
        """Return what every part of the kernel adds [n_parts, structure, 2L+1]; they add up to the prediction."""
        self.domain_.check(structures)
        env = self.kernel_.environments(structures, gradients=isinstance(self.basis_, DerivativeBasis))
        mixture, weights = self.fit_.mixture, self.fit_.weights
        if isinstance(self.basis_, StructureBasis):
            parts = mixture[:, None] * (self.basis_.parts(env) @ weights)
        else:
            parts = np.stack([self.basis_.values(env, part) @ weights for part in np.diag(mixture)])
        return parts.reshape(len(parts), len(structures), -1)

    def chosen_numbers(self) -> dict[str, float]:
        """Return the mixture and its error."""
        return dict(self.hyperparameters_)

    def in_words(self) -> list[str]:
        """Return which kernel and basis were fitted."""
        return sums_in_words(self.kernel, self.hyperparameters_, self.basis_.kind, len(self.fit_.weights))

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return domain, settings chosen and hyperparameters, and densities, basis, weights and posterior."""
        spec = {
            "domain": self.domain_.state(),
            "kernel": self.kernel.model_dump(mode="json"),
            "basis": self.basis_.kind,
            "hyperparameters": dict(self.hyperparameters_),
        }
        arrays: dict[str, FloatArray | IntArray] = {
            **{f"basis.{name}": x for name, x in structures_as_arrays(self.basis_.structures).items()},
            **{f"active.{z}": rows for z, rows in getattr(self.basis_, "rows", {}).items()},
            "fit.weights": self.fit_.weights,
            "fit.mixture": self.fit_.mixture,
        }
        if self.fit_.posterior is not None:
            arrays |= {f"posterior.{name}": array for name, array in self.fit_.posterior.arrays().items()}
        # copies: safetensors refuses tensors that share memory, and views of larger arrays
        return spec, {**self.kernel_.tensors(), **{name: torch.from_numpy(np.array(x)) for name, x in arrays.items()}}

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
        chosen = KernelSettings(**spec["kernel"])
        (out.group_,) = groups
        out.kernel_ = kernel_class(chosen).from_tensors(chosen, settings.memory_gb, tensors)
        out.domain_ = Domain.from_state(spec["domain"])
        out.hyperparameters_ = dict(spec["hyperparameters"])
        basis = {n.removeprefix("basis."): t.numpy() for n, t in tensors.items() if n.startswith("basis.")}
        structures = structures_of_arrays(basis)
        rows = {int(name.split(".")[1]): t.numpy() for name, t in tensors.items() if name.startswith("active.")}
        out.basis_ = make_basis(str(spec["basis"]), out.kernel_, structures, out.group_.irrep, rows)
        known = {n.removeprefix("posterior."): t.numpy() for n, t in tensors.items() if n.startswith("posterior.")}
        posterior = Posterior.from_arrays(known) if known else None
        out.fit_ = SumFit(tensors["fit.weights"].numpy(), tensors["fit.mixture"].numpy(), posterior)
        return out

    def _chosen(self, task: SumTask, job: Job) -> KernelSettings:
        """Return the settings of the grid with the smallest error of values left out; forces take no part."""
        some = task.without_gradients().first(MOST_TO_CHOOSE)
        y, variance, folds = some.rows()

        def error_of(option: KernelSettings) -> float:
            kernel = make_kernel(option, self.settings.memory_gb).fit(some.structures)
            try:
                return search_mixture(
                    parts_of(kernel, some), y, variance, self.settings.with_kernel(option), folds
                ).loss
            except SingularKernel:
                return np.inf  # this choice is none, others may be

        return choose(self.given, error_of, f"{self.settings.measure} in spreads", job)

    def _predict(
        self, structures: Sequence[Atoms], gradients: bool = False, covariance: bool = False
    ) -> tuple[Answers, list[FloatArray]]:
        self.domain_.check(structures)
        if covariance and self.fit_.posterior is None:
            super().predict_with_covariance(structures, SILENT)  # refuses
        answers, slopes = Answers(len(structures)), []
        with_gradients = gradients or (covariance and isinstance(self.basis_, DerivativeBasis))
        for tile in structure_tiles(structures, self.kernel, self.settings.memory_gb, len(self.fit_.weights)):
            own = structures[tile]
            env = self.kernel_.environments(own, gradients=with_gradients)
            values, slope = self._evaluate(env)
            covariances = list(self._covariances(env, own)) if covariance else []
            answers.add(self.group_, values, covariances, tile.start)
            slopes += [] if slope is None else [slope]
        return answers, slopes

    def _evaluate(self, env: Environments) -> tuple[FloatArray, FloatArray | None]:
        """Return values [structure x m, 1], and gradients [atom, 3] if ``env`` has them."""
        fit = self.fit_
        if self.group_.irrep != (0, 1) or not self.kernel_.differentiable:
            return (self.basis_.values(env, fit.mixture) @ fit.weights)[:, None], None
        if self._functional is None:
            self._functional = self.basis_.functional(fit.weights)
        f = self._functional
        energies, gradients = self.kernel_.energies_and_gradients(
            env, f.environments, f.coefficients, f.directions, fit.mixture.tolist()
        )
        return energies[:, None], gradients

    def _covariances(self, env: Environments, structures: Sequence[Atoms]) -> Iterator[FloatArray]:
        """Yield the covariance of every structure [1, m, m]; no variance falls below that of a datum."""
        posterior = self.fit_.posterior
        assert posterior is not None
        priors = self_kernels_of(self.kernel_, structures, self.group_.irrep, self.fit_.mixture)
        rows, m = self.basis_.values(env, self.fit_.mixture), self.group_.width
        least = posterior.noise * posterior.scales * posterior.alphas
        for matrix in posterior.covariances(rows, [m] * len(structures), priors):
            diagonal = np.maximum(np.diagonal(matrix, axis1=1, axis2=2), least[:, None])
            matrix[:, np.arange(m), np.arange(m)] = diagonal
            yield matrix


def _check_not_vanishing(parts: FloatArray, kernel: EnvironmentKernel, group: Group) -> None:
    """Raise ConfigError if symmetry makes every kernel of the training set zero."""
    if group.irrep == (0, 1):
        return
    diagonal = np.abs(np.diagonal(parts[1:], axis1=1, axis2=2)).max(initial=0.0)
    if diagonal < VANISHING:
        raise ConfigError(
            f"the kernels of l {group.L}, sigma {group.sigma} vanish for all training structures (largest "
            f"{diagonal:.1e}): by symmetry the property is zero for them, as one that is odd in the mirror is for "
            f"planar molecules; check target.l and target.sigma, or raise model.kernel.max_nu {kernel.settings.max_nu}"
        )


def sums_in_words(kernel: KernelSettings, hyperparameters: Mapping[str, float], basis: str, size: int) -> list[str]:
    """Return which kernel and basis a model of sums is made of.

    Args:
        kernel: settings, those chosen on a grid included.
        hyperparameters: mixture and cross-validated error.
        basis: its kind.
        size: number of its functions.
    """
    mixture = ", ".join(f"{name} {value:.3g}" for name, value in hyperparameters.items() if name != "cv_error")
    settings = ", ".join(f"{name} {_setting(value)}" for name, value in kernel if name not in ("grid", "a", "b", "c0"))
    return [
        f"Kernel: {kernel.kind}, order {kernel.max_nu}, l <= {kernel.max_l}, cut-off {kernel.cutoff_angstrom:g} Å; "
        f"{mixture}",
        f"Settings of the kernel, those chosen on a grid included: {settings}",
        f"Cross-validated error: {hyperparameters['cv_error']:.3g}, in units of the spread of the data",
        f"Basis: {basis}, {size} functions",
    ]


def _setting(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return "none" if value is None else str(value)
