"""Kernel regression of properties: sums of kernels of the environments of a structure, with forces."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from hamlearn.config import KernelRidgeSettings, KernelSettings
from hamlearn.errors import ConfigError, HamlearnWarning
from hamlearn.job import Job
from hamlearn.kernels import EnvironmentKernel, Environments
from hamlearn.kernels.structure_kernel import kernel_class, make_kernel
from hamlearn.learning.bases import Basis, Energies, self_kernels_of
from hamlearn.learning.choice import choose
from hamlearn.learning.data import Data
from hamlearn.learning.groups import Answers, Group
from hamlearn.learning.kernel_learner import KernelLearner
from hamlearn.learning.limits import refuse_alone
from hamlearn.learning.mixture import search_mixture
from hamlearn.learning.sum_fits import SumFit, SumTask, check_basis, fit_active, fit_data, parts_of, structure_tiles
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

    LEARNS_FUNCTIONALS = True
    OF_PAIRS = False

    kernel_: EnvironmentKernel
    basis_: Basis
    fit_: SumFit
    group_: Group

    def __init__(self, settings: KernelRidgeSettings) -> None:
        super().__init__(settings)
        self.hyperparameters_: dict[str, float] = {}
        self._energies: Energies | None = None

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
        deciding = task.deciding(kind)
        parts = parts_of(kernel, deciding)
        _check_not_vanishing(parts, kernel, group)
        y, variance, folds = deciding.rows()
        found = search_mixture(parts, y, variance, self.settings.with_kernel(chosen), folds)
        if kind == "sparse":
            basis, fit = fit_active(kernel, task, found.weights, job)
        else:
            basis, fit = fit_data(kernel, task, kind, parts, found.weights)
        last = kernel.n_parts - 1
        factor = float(fit.mixture[last] / found.weights[last])
        extra = dict(zip(chosen.additive, fit.mixture[last + 1 :].tolist(), strict=True))
        self.hyperparameters_ = {
            "a": found.a * factor, "b": found.b, "c0": found.c0 * factor, **extra, "cv_error": found.loss,
        }  # fmt: skip
        if found.loss >= 1.0 and len(structures) >= LEAST_TO_JUDGE:
            warnings.warn(NOTHING_LEARNED, HamlearnWarning, stacklevel=3)
        self.kernel_, self.basis_, self.fit_, self.group_ = kernel, basis, fit, group
        self.has_posterior_ = fit.posterior is not None
        (self.domain_,) = self.domains(bare)
        self._energies = None
        return self

    def predict_with_gradients(
        self, structures: Sequence[Atoms], job: Job, covariance: bool = False
    ) -> tuple[Answers, FloatArray]:
        """Return the same with derivatives with respect to positions [atom, 3], Å^-1."""
        if not self.differentiable:
            return super().predict_with_gradients(structures, job, covariance)
        self.domain_.check(structures)
        if covariance and not self.has_posterior_:
            super().predict_with_covariance(structures, job)  # refuses
        answers, gradients = self._predict(structures, gradients=True, covariance=covariance)
        return answers, np.concatenate([np.zeros((0, 3)), *gradients])

    def predict_parts(self, structures: Sequence[Atoms]) -> FloatArray:
        """Return what every part of the kernel adds [n_parts, structure, 2L+1]; they add up to the prediction."""
        self.domain_.check(structures)
        env = self.kernel_.environments(structures, gradients=self.basis_.has_derivatives)
        rows = self.basis_.parts(env)[:, : self.group_.width * len(structures)]  # without derivatives
        parts = self.fit_.mixture[:, None] * (rows @ self.fit_.weights)
        return parts.reshape(len(parts), len(structures), -1)

    def chosen_numbers(self) -> dict[str, float]:
        """Return the mixture and its error."""
        return dict(self.hyperparameters_)

    def in_words(self) -> list[str]:
        """Return which kernel and basis were fitted."""
        return sums_in_words(self.kernel, self.hyperparameters_, self.basis_.kind, len(self.fit_.weights))

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return domain, settings chosen and hyperparameters, and densities, basis, weights and posterior."""
        spec, tensors = super().state()
        spec |= {"basis": self.basis_.kind, "hyperparameters": dict(self.hyperparameters_)}
        arrays: dict[str, FloatArray | IntArray] = {
            **{f"basis.{name}": x for name, x in structures_as_arrays(self.basis_.structures).items()},
            **{f"active.{z}": rows for z, rows in (self.basis_.rows or {}).items()},
            "fit.weights": self.fit_.weights,
            "fit.mixture": self.fit_.mixture,
        }
        if self.fit_.posterior is not None:
            arrays |= {f"posterior.{name}": array for name, array in self.fit_.posterior.arrays().items()}
        # copies: safetensors refuses tensors that share memory, and views of larger arrays
        return spec, tensors | {name: torch.from_numpy(np.array(x)) for name, x in arrays.items()}

    def _restore(self, groups: Mapping[Group, int], spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        def named(prefix: str) -> dict[str, Any]:
            return {name.removeprefix(prefix): t.numpy() for name, t in tensors.items() if name.startswith(prefix)}

        chosen = KernelSettings(**spec["kernel"])
        (self.group_,) = groups
        self.kernel_ = kernel_class(chosen).from_tensors(chosen, self.settings.memory_gb, tensors)
        self.hyperparameters_ = dict(spec["hyperparameters"])
        structures, rows = structures_of_arrays(named("basis.")), {int(z): own for z, own in named("active.").items()}
        self.basis_ = Basis(str(spec["basis"]), self.kernel_, structures, self.group_.irrep, rows or None)
        known = named("posterior.")
        self.fit_ = SumFit(**named("fit."), posterior=Posterior.from_arrays(known) if known else None)
        self.has_posterior_ = bool(known)

    def _answers(self, structures: Sequence[Atoms], job: Job, covariance: bool) -> Answers:
        return self._predict(structures, covariance=covariance)[0]

    def _chosen(self, task: SumTask, job: Job) -> KernelSettings:
        """Return the settings of the grid with the smallest error of values left out; forces take no part."""
        some = task.without_gradients().first(MOST_TO_CHOOSE)
        y, variance, folds = some.rows()

        def error_of(option: KernelSettings) -> float:
            parts = parts_of(make_kernel(option, self.settings.memory_gb).fit(some.structures), some)
            return search_mixture(parts, y, variance, self.settings.with_kernel(option), folds).loss

        return choose(self.given, error_of, f"{self.settings.measure} in spreads", job)

    def _predict(
        self, structures: Sequence[Atoms], gradients: bool = False, covariance: bool = False
    ) -> tuple[Answers, list[FloatArray]]:
        answers, slopes = Answers(len(structures)), []
        with_gradients = gradients or (covariance and self.basis_.has_derivatives)
        for tile in structure_tiles(structures, self.kernel, self.settings.memory_gb, len(self.fit_.weights)):
            own = structures[tile]
            env = self.kernel_.environments(own, gradients=with_gradients)
            values, slope = self._evaluate(env)
            covariances: list[FloatArray] = []
            if covariance and self.fit_.posterior:
                rows, sizes = self.basis_.values(env, self.fit_.mixture), [self.group_.width] * len(own)
                priors = self_kernels_of(self.kernel_, own, self.group_.irrep, self.fit_.mixture)
                covariances = self.fit_.posterior.covariances(rows, sizes, priors)
            answers.add(self.group_, values, covariances, tile.start)
            slopes += [] if slope is None else [slope]
        return answers, slopes

    def _evaluate(self, env: Environments) -> tuple[FloatArray, FloatArray | None]:
        """Return values [structure x m, 1], and gradients [atom, 3] if ``env`` has them."""
        fit = self.fit_
        if self.group_.irrep != (0, 1) or not self.kernel_.differentiable:
            return (self.basis_.values(env, fit.mixture) @ fit.weights)[:, None], None
        if self._energies is None:
            self._energies = self.basis_.energies(fit.weights, fit.mixture)
        energies, gradients = self._energies(env)
        return energies[:, None], gradients


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
    """Return which kernel, mixture and basis, of a kind and a size, a model of sums is made of."""
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
