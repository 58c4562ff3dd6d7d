"""Whether a self-consistent state is a minimum of the energy among states of its method, and the way to one.

An SCF ends where the energy is stationary, which may be a saddle point: of stretched bonds, twisted double bonds, and
wherever the density it starts from has degenerate frontier levels. The second derivative of the energy along rotations
of occupied into virtual orbitals tells (internal stability: Seeger and Pople, J. Chem. Phys. 66, 3045 (1977)).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hamlearn.types import FloatArray

STABILITY = "stability"
"""Name in the provenance of a record; records of older versions lack it: nothing is known of them."""
MINIMUM, SADDLE, UNKNOWN = "minimum", "saddle point", "not analysed"

SAFE_GAP, SAFE_GAP_OF_EXCHANGE = 0.15, 0.30
"""Closed shells with a larger gap, Hartree, are not analysed: without exact exchange, and what all of it adds.

Exchange is what makes states unstable; workflows/README.md has the gaps of unstable states.
"""
NEGATIVE, ZERO, SMALL = -1e-4, 1e-3, 0.05
"""Curvatures, Hartree: of saddle points, of states that lack a symmetry of the molecule, and those to know well."""
N_STARTS, N_ITERATIONS = 4, 40


def not_analysed(field: Any, suspicious: bool = False) -> str:
    """Return why a converged state is not analysed; empty if it is, as those are whatever the gap that look odd."""
    occupations = np.asarray(field.mo_occ)
    if occupations.ndim == 2 and not np.isin(occupations, (0, 1)).all():
        return "degenerate levels share their electrons"
    if not (occupations == 0).any():
        return "no virtual levels"
    if suspicious or occupations.ndim == 2 or (occupations == 1).any():
        return ""
    gap = frontier_gap(np.asarray(field.mo_energy), int(occupations.sum()) // 2)
    safe = SAFE_GAP + SAFE_GAP_OF_EXCHANGE * exact_exchange(field)
    return f"a gap of {gap:.2f} Hartree, above {safe:.2f}" if gap > safe else ""


def frontier_gap(energies: FloatArray, n_occupied: int) -> float:
    """Return the distance of the lowest virtual level from the highest occupied one; infinite if either lacks."""
    ordered = np.sort(energies)
    if not 0 < n_occupied < len(ordered):
        return float("inf")
    return float(ordered[n_occupied] - ordered[n_occupied - 1])


def exact_exchange(field: Any) -> float:
    """Return the largest share of Hartree-Fock exchange at any distance: 1 of Hartree-Fock itself."""
    functional = getattr(field, "xc", None)
    if functional is None:
        return 1.0
    omega, alpha, hybrid = field._numint.rsh_and_hybrid_coeff(functional)
    return float(max(hybrid, alpha if omega else 0.0))


def lowest_curvature(field: Any, fock: FloatArray) -> tuple[float, FloatArray]:
    """Return an upper bound of the lowest curvature of the energy, Hartree, and the rotation of orbitals that has it.

    The sign is right where Davidson's iteration has come near enough; of a stable state the value is rough.

    Args:
        field: converged PySCF mean field with whole occupations.
        fock: its Fock matrix [ao, ao], of open shells [spin, ao, ao].
    """
    from pyscf import lib
    from pyscf.soscf import newton_ah

    plain = getattr(field, "_scf", field)  # of second-order solvers
    occupations = np.asarray(field.mo_occ)
    is_closed = occupations.ndim == 1 and not (occupations == 1).any()
    if occupations.ndim == 2:
        make = newton_ah.gen_g_hop_uhf
    else:
        make = newton_ah.gen_g_hop_rhf if is_closed else newton_ah.gen_g_hop_rohf
        fock = fock if is_closed else lib.tag_array(fock[0], focka=fock[0], fockb=fock[1])
    _, product, diagonal = make(plain, field.mo_coeff, field.mo_occ, fock_ao=fock)
    scale = 0.5 if is_closed else 1.0  # closed shells move two electrons at once
    return _lowest_root(lambda x: scale * np.asarray(product(x)), scale * np.asarray(diagonal))


def _lowest_root(product: Callable[[FloatArray], FloatArray], diagonal: FloatArray) -> tuple[float, FloatArray]:
    """Return the lowest eigenvalue of a symmetric matrix, as far as its sign, by Davidson's method.

    It starts from the smallest diagonal elements, and from a vector of all, lest a symmetry be left out.
    """
    count = len(diagonal)
    starts = np.zeros((count, min(N_STARTS, count) + 1))
    starts[np.argsort(diagonal)[: min(N_STARTS, count)], np.arange(min(N_STARTS, count))] = 1.0
    starts[:, -1] = np.random.default_rng(0).normal(size=count) / (1.0 + np.abs(diagonal))
    basis = np.linalg.qr(starts)[0][:, :count]
    images = np.stack([product(vector) for vector in basis.T], axis=1)
    for _ in range(N_ITERATIONS):
        values, vectors = np.linalg.eigh(0.5 * (basis.T @ images + images.T @ basis))
        value, root = values[0], basis @ vectors[:, 0]
        residual = images @ vectors[:, 0] - value * root
        error = np.linalg.norm(residual)
        if error < -0.1 * NEGATIVE or (error < 0.3 * abs(value) and not 0 <= value < SMALL):
            break
        step = residual / np.maximum(diagonal - value, 1e-2)
        for _ in range(2):  # once more, for rounding
            step = step - basis @ (basis.T @ step)
        length = np.linalg.norm(step)
        if length < 1e-8:
            break
        basis = np.column_stack([basis, step / length])
        images = np.column_stack([images, product(basis[:, -1])])
    return float(value), root


def rotated_orbitals(field: Any, direction: FloatArray) -> Any:
    """Return the orbitals of a field after a rotation of occupied into virtual ones, as long as the vector."""
    from pyscf.scf.hf import unpack_uniq_var
    from scipy.linalg import expm

    coefficients, occupations = np.asarray(field.mo_coeff), np.asarray(field.mo_occ)
    if occupations.ndim == 1:
        return coefficients @ expm(unpack_uniq_var(direction, occupations))
    n_alpha = np.count_nonzero(occupations[0]) * np.count_nonzero(occupations[0] == 0)
    parts = zip(coefficients, occupations, (direction[:n_alpha], direction[n_alpha:]), strict=True)
    return np.stack([c @ expm(unpack_uniq_var(x, n)) if len(x) else c for c, n, x in parts])


def has_equal_spins(field: Any) -> bool:
    """Return whether the two spins of an unrestricted field have the same density.

    It is kept: of states that break this symmetry there are always two, and nothing tells which spin is where.
    """
    if np.ndim(field.mo_occ) == 1:
        return False
    alpha, beta = field.make_rdm1()
    return bool(field.nelec[0] == field.nelec[1] and np.abs(alpha - beta).max() < 1e-3)


def described(state: str, why: str = "", n_followed: int = 0, not_unique: str = "") -> dict[str, Any]:
    """Return what the provenance of a record says of its state."""
    optional = {"why": why, "followed": n_followed, "not_unique": not_unique}
    return {"state": state, **{name: value for name, value in optional.items() if value}}


def state_flag(provenance: Mapping[str, Any]) -> str:
    """Return in words what is doubtful of the state of a record; empty if nothing is, or nothing is known."""
    found = provenance.get(STABILITY, {})
    words = []
    if found.get("state") == SADDLE:
        words.append(f"a saddle point of the energy, no minimum ({found.get('why', 'no way down was found')})")
    if found.get("followed"):
        words.append("the SCF came to a saddle point first; a lower state was taken")
    if found.get("not_unique"):
        words.append(f"other states are as low: {found['not_unique']}")
    return "; ".join(words)
