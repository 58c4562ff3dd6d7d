"""What a property model can be asked: settings that fit together, and elements it has seen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.angular.elements import SYMBOLS, symbol
from hamlearn.config import KernelSettings, ModelSettings, TargetSettings
from hamlearn.errors import ConfigError, nearest
from hamlearn.kernels import EnvironmentKernel
from hamlearn.kernels.structure_kernel import is_of_structures
from hamlearn.learning.domain import neighbours_of, refuse
from hamlearn.types import FloatArray, IntArray, Irrep

if TYPE_CHECKING:
    from ase import Atoms

MATRICES_AT_ONCE = 4
"""Matrices of the size of the derivative basis held while it is solved."""

VANISHING = 1e-12
"""Kernels of structures below are rounding: densities have a squared norm of 1 on average."""


def check_settings(
    target: TargetSettings, kernel: KernelSettings, model: ModelSettings, structures: Sequence[Atoms]
) -> None:
    """Raise ConfigError if forces, kernel, basis and memory do not fit together."""
    if len(structures) < 2:
        raise ConfigError(f"a kernel model got {len(structures)} training structure; it needs 2 for cross-validation")
    _check_symmetry(target, kernel)
    forces = target.forces_key is not None
    if is_of_structures(kernel):
        _check_of_structures(target, kernel, model)
    if forces and kernel.kind == "soap":
        raise ConfigError(
            "forces (target.forces_key) need a kernel with derivatives, which kernel.kind soap has not; use wigner or "
            "order"
        )
    if forces and model.basis == "full":
        raise ConfigError("model.basis full learns no forces; use sparse, or derivatives for few structures")
    if not forces and model.basis == "derivatives":
        raise ConfigError("model.basis derivatives needs forces; give target.forces_key, or use basis full or sparse")
    if isinstance(model.active, dict):
        for name in model.active:
            if name not in SYMBOLS[1:]:
                raise ConfigError(f"model.active names the element '{name}'{nearest(name, list(SYMBOLS[1:]))}")
    if model.basis == "derivatives":
        n = len(structures) + 3 * sum(map(len, structures))
        needed = MATRICES_AT_ONCE * 8e-9 * n**2
        if needed > model.memory_gb:
            raise ConfigError(
                f"model.basis derivatives needs {needed:.2g} GB for {len(structures)} structures ({n} energies and "
                f"derivatives), more than memory_gb = {model.memory_gb:g}; use fewer structures, more memory, or "
                "basis sparse"
            )


def _check_of_structures(target: TargetSettings, kernel: KernelSettings, model: ModelSettings) -> None:
    """Raise ConfigError if a kernel of structures is asked for more than scalars in the basis full."""
    named = {"structure": kernel.structure, "message_nu": kernel.message_nu, "additive": list(kernel.additive)}
    name, value = next((name, value) for name, value in named.items() if value not in ("sum", None, []))
    given = f"kernel.{name} {value}"
    if (target.l, target.sigma) != (0, 1):
        raise ConfigError(
            f"{given} compares invariants only, but target has l {target.l}, sigma {target.sigma}; drop it"
        )
    if target.forces_key is not None:
        raise ConfigError(f"{given} learns no forces; drop it, or target.forces_key")
    if model.basis not in (None, "full") or model.active is not None:
        wrong = f"basis {model.basis}" if model.active is None else f"active {model.active}"
        raise ConfigError(f"{given} compares whole structures, in the basis full, got model.{wrong}; drop one of them")


def check_not_vanishing(parts: FloatArray, kernel: EnvironmentKernel, irrep: Irrep) -> None:
    """Raise ConfigError if symmetry makes every kernel of the training set zero.

    Args:
        parts: kernels of the training set with itself [part, row, row].
        kernel: fitted.
        irrep: (L, sigma) of the property.
    """
    if irrep == (0, 1):
        return
    diagonal = np.abs(np.diagonal(parts[1:], axis1=1, axis2=2)).max(initial=0.0)
    if diagonal < VANISHING:
        raise ConfigError(
            f"the kernels of l {irrep[0]}, sigma {irrep[1]} vanish for all training structures (largest "
            f"{diagonal:.1e}): by symmetry the property is zero for them, as one that is odd in the mirror is for "
            f"planar molecules; check target.l and target.sigma, or raise kernel.max_nu {kernel.settings.max_nu}"
        )


def _check_symmetry(target: TargetSettings, kernel: KernelSettings) -> None:
    """Raise ConfigError if no kernel of these settings has the symmetry of the target."""
    order = 2 if kernel.kind == "soap" else kernel.max_nu
    if target.l > kernel.max_l:
        raise ConfigError(f"target.l {target.l} needs kernel.max_l of at least {target.l}, got {kernel.max_l}")
    needed = 3 if target.l == 0 else 2
    if target.sigma == -1 and order < needed:
        raise ConfigError(
            f"a property with l {target.l}, sigma -1 needs kernels of order {needed} at least, got {order}: lower ones "
            "vanish; raise kernel.max_nu (kinds wigner and order)"
        )


def check_elements(
    structures: Sequence[Atoms], known: Collection[int], indices: Sequence[int] | IntArray | None = None
) -> None:
    """Raise DomainError for elements outside the training set, listing every structure that has any.

    Args:
        structures: geometries to predict.
        known: elements of the training set.
        indices: what to call the structures; by default 0, 1, 2, ...
    """
    problems = []
    for index, atoms in zip(range(len(structures)) if indices is None else indices, structures, strict=True):
        unknown = sorted({int(z) for z in atoms.numbers} - set(known))
        if unknown:
            names = ", ".join(map(symbol, unknown))
            problems.append(
                f"structure {index} ({atoms.get_chemical_formula()}): element {names} not in the training set"
            )
    refuse(problems, f"the model was trained on elements {[symbol(z) for z in sorted(known)]}")


def check_neighbours(
    structures: Sequence[Atoms],
    known: Collection[tuple[int, int]],
    kernel: KernelSettings,
    indices: Sequence[int] | IntArray | None = None,
) -> None:
    """Raise DomainError for neighbours no training structure has, listing every structure that has any.

    Args:
        structures: geometries to predict.
        known: elements (centre, neighbour) of the training set.
        kernel: with a likeness of elements nothing is refused.
        indices: what to call the structures; by default 0, 1, 2, ...
    """
    if kernel.element_likeness is not None:
        return
    problems = []
    for index, atoms in zip(range(len(structures)) if indices is None else indices, structures, strict=True):
        unknown = sorted(neighbours_of([atoms], kernel.cutoff_angstrom) - set(known))
        if unknown:
            names = ", ".join(f"{symbol(a)} near {symbol(z)}" for z, a in unknown)
            problems.append(f"structure {index} ({atoms.get_chemical_formula()}): {names}")
    refuse(problems, f"within {kernel.cutoff_angstrom:g} Å the training set has no such neighbours")
