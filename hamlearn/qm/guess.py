"""Densities and Fock matrices an SCF starts from, equivariant: those of atoms, or of a small SCF.

``minao``: superposition of spherical ANO atoms; ``atom``: superposition of spherically averaged Hartree-Fock atoms
in the basis itself; ``sto-3g``: the converged Hartree-Fock density in that small basis, which knows of bonds and
charges (of open shells such as O2's, several densities are as good, and which one is found depends on the orientation);
``core``: no density at all, so that its Fock matrix is the core Hamiltonian. (An SCF that starts from
``core`` takes the density of the core Hamiltonian's lowest orbitals, which symmetry may leave undefined when levels
are degenerate; its Fock matrix is therefore never used as a baseline.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

import numpy as np

from hamlearn.angular.ao_order import element_numbers
from hamlearn.config import Guess, QMSettings
from hamlearn.errors import BasisError, ConfigError, SCFError, check_type, nearest
from hamlearn.qm.atomic_density import atomic_density, has_spins, of_each_spin, tagged_density
from hamlearn.qm.method import mean_field
from hamlearn.qm.molecule import build_mole, check_basis, core_potentials, formula
from hamlearn.qm.scf import converge, symmetrised
from hamlearn.types import FloatArray

GUESSES: tuple[Guess, ...] = get_args(Guess)
SMALL_BASIS = "sto-3g"
SMALL_BASIS_TOLERANCE = 1e-12  # Hartree: its levels are then smooth functions of the geometry to 1e-6


def as_guesses(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of guesses, given alone or in a list.

    Raises:
        ConfigError: unless every name is a guess.
    """
    check_type(names, (str, Iterable), "guess_focks", f"names of guesses among {', '.join(GUESSES)}")
    found = (names,) if isinstance(names, str) else tuple(names)
    check_guesses(found)
    return found


def check_guesses(names: Sequence[str]) -> None:
    """Raise ConfigError unless every name is a guess."""
    for name in names:
        if name not in GUESSES:
            raise ConfigError(f"guess '{name}' is not one of {', '.join(GUESSES)}{nearest(name, GUESSES)}")


def check_elements(names: Iterable[str], species: Iterable[int], basis: str | None = None) -> None:
    """Raise BasisError if a guess lacks an element that others have, or has core electrons that a basis has not."""
    if SMALL_BASIS not in names:
        return
    species = [int(number) for number in species]
    try:
        check_basis(SMALL_BASIS, species)
    except BasisError as error:
        raise BasisError(f"guess {SMALL_BASIS}: {error}; or choose another guess or delta, such as minao") from None
    if basis is not None and (replaced := core_potentials(basis, species)):
        raise BasisError(
            f"guess {SMALL_BASIS} has all electrons of {', '.join(replaced)}, of which basis '{basis}' replaces the "
            "core by a potential; choose another guess or delta, such as minao, or an all-electron basis"
        )


def guess_fock(mole: Any, settings: QMSettings, name: str) -> FloatArray:
    """Return F[D_guess], one Fock build in the basis of the settings; sto-3g runs an SCF in that basis before.

    Args:
        mole: from :func:`~hamlearn.qm.molecule.build_mole`.
        settings: method, functional and basis.
        name: 'minao', 'atom', 'core' or 'sto-3g'.

    Returns:
        [ao, ao], Hartree, symmetric; [spin, ao, ao] if unrestricted, with one density for both spins. Rotation of
        the molecule: T F T^T, exactly for Hartree-Fock and to the accuracy of the integration grid for Kohn-Sham; with
        sto-3g as far as its SCF finds the same state.

    Raises:
        BasisError: if STO-3G lacks an element.
        SCFError: if the SCF of sto-3g does not converge.
    """
    return fock_of_guess(mean_field(mole, settings), settings.basis, name)


def fock_of_guess(field: Any, basis: str, name: str) -> FloatArray:
    """Return :func:`guess_fock` with the integrals a mean field already has."""
    check_guesses((name,))
    if name == "core":
        core = symmetrised(field.get_hcore())
        return np.stack([core, core]) if has_spins(field) else core
    return symmetrised(field.get_fock(dm=start_density(field, basis, name)))


def start_density(field: Any, basis: str, name: str) -> Any:
    """Return the density matrix an SCF starts from [ao, ao]; of unrestricted fields [spin, ao, ao]."""
    if name == SMALL_BASIS:
        check_elements([name], element_numbers(field.mol), basis)
        return of_each_spin(field, _small_basis_density(field.mol))
    return atomic_density(field, basis, name)


def _small_basis_density(mole: Any) -> Any:
    """Density of Hartree-Fock in STO-3G: its occupied orbitals, projected on the basis and made orthonormal again.

    Of open shells it is the density of both spins together, of unrestricted Hartree-Fock.
    """
    from pyscf.lo import vec_lowdin
    from pyscf.scf import addons

    numbers = element_numbers(mole)
    check_elements([SMALL_BASIS], numbers)
    small = build_mole(numbers, mole.atom_coords(), SMALL_BASIS, mole.charge, mole.spin + 1)
    try:
        settings = QMSettings(method="UHF" if small.spin else "RHF", basis=SMALL_BASIS, conv_tol=SMALL_BASIS_TOLERANCE)
        field = converge(small, settings).mean_field
    except SCFError as error:
        raise SCFError(
            f"guess {SMALL_BASIS} of {formula(numbers)}: {error}; leave it out, or choose another guess or delta"
        ) from None
    overlap = mole.intor_symmetric("int1e_ovlp")

    def density(orbitals: FloatArray, occupations: FloatArray) -> Any:
        occupied = occupations > 0
        projected = vec_lowdin(addons.project_mo_nr2nr(small, orbitals[:, occupied], mole), overlap)
        return tagged_density(projected, occupations[occupied])

    if small.spin:
        return sum(np.asarray(density(c, n)) for c, n in zip(field.mo_coeff, field.mo_occ, strict=True))
    return density(field.mo_coeff, field.mo_occ)
