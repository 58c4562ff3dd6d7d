"""The PySCF molecule of a geometry, and what is refused before any calculation."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.angular.elements import atomic_number, symbol
from hamlearn.config import QMSettings
from hamlearn.errors import BasisError, StructureError, nearest
from hamlearn.qm.basis_names import is_auxiliary, is_known, is_of_pseudopotentials, plain
from hamlearn.qm.pyscf_settings import check_defaults

# what PySCF raises, according to the kind of file, for a basis or element it does not have
_REFUSALS = (RuntimeError, LookupError, AssertionError, ValueError, OSError, AttributeError, TypeError)

NAME_OF_A_BASIS = re.compile(r"[\w+*(), -]+")


def build_mole(
    numbers: Iterable[int], positions_bohr: ArrayLike, basis: str, charge: int = 0, multiplicity: int | None = 1
) -> Any:
    """Return the PySCF Mole of a molecule or ion: spherical functions, no point-group symmetry, silent.

    Args:
        numbers: atomic numbers [atom].
        positions_bohr: [atom, 3], Bohr.
        basis: name of a basis set PySCF has.
        charge: of the molecule, e.
        multiplicity: 2S + 1; None for the lowest its electrons can have.

    Returns:
        A built ``pyscf.gto.Mole``. Rotating the positions leaves its functions where they are: they are
        always along x, y, z.

    Raises:
        BasisError: if the basis is unknown, or lacks an element or its core electrons with no potential for them.
        StructureError: if the electrons cannot have this multiplicity.
    """
    numbers = [int(number) for number in numbers]
    n_alpha, n_beta = n_electrons(numbers, charge, multiplicity)
    check_basis(basis, numbers)
    symbols = [symbol(number) for number in numbers]
    shells = {name: load_basis(basis, name) for name in set(symbols)}
    potentials = core_potentials(basis, numbers)
    return silent_mole(symbols, positions_bohr, shells, n_alpha - n_beta, charge, potentials)


def mole_of(numbers: Iterable[int], positions_bohr: ArrayLike, settings: QMSettings) -> Any:
    """Return the Mole of settings that carry the charge and multiplicity of the molecule; as :func:`build_mole`."""
    multiplicity = settings.multiplicity or (None if settings.has_spins else 1)
    return build_mole(numbers, positions_bohr, settings.basis, settings.charge or 0, multiplicity)


def silent_mole(
    symbols: Sequence[str],
    positions_bohr: ArrayLike,
    shells: Mapping[str, Any],
    spin: int | None = None,
    charge: int = 0,
    potentials: Mapping[str, Any] | None = None,
) -> Any:
    """Return a PySCF Mole of given shells that reads no command line and prints nothing.

    Args:
        symbols: chemical symbols [atom].
        positions_bohr: [atom, 3], Bohr.
        shells: for each symbol its shells as :func:`load_basis` returns them.
        spin: number of unpaired electrons; None: 0 or 1, for what depends on shells and positions alone.
        charge: of the molecule, e.
        potentials: effective core potentials by symbol, as :func:`core_potentials` returns them.
    """
    check_defaults()
    from pyscf import gto

    return gto.Mole().build(
        dump_input=False,
        parse_arg=False,
        verbose=0,
        atom=list(zip(symbols, np.asarray(positions_bohr, dtype=np.float64).tolist(), strict=True)),
        unit="Bohr",
        basis=dict(shells),
        ecp=dict(potentials or {}),
        charge=charge,
        spin=(sum(map(atomic_number, symbols)) - charge) % 2 if spin is None else spin,
        cart=False,
        symmetry=False,
    )


def n_electrons(numbers: Iterable[int], charge: int = 0, multiplicity: int | None = 1) -> tuple[int, int]:
    """Return how many electrons of spin alpha and beta a molecule has.

    Args:
        numbers: atomic numbers [atom].
        charge: of the molecule, e.
        multiplicity: 2S + 1; None for the lowest its electrons can have.

    Raises:
        StructureError: if its electrons cannot have this multiplicity.
    """
    numbers = [int(number) for number in numbers]
    total = sum(numbers) - charge
    unpaired = total % 2 if multiplicity is None else multiplicity - 1
    if not 0 <= unpaired <= total or (total - unpaired) % 2:
        raise StructureError(
            f"{formula(numbers)} has {total} electrons with charge {charge}, which cannot have multiplicity "
            f"{unpaired + 1}; restricted calculations need an even number: give another charge or multiplicity, or add "
            "the missing atom"
        )
    return (total + unpaired) // 2, (total - unpaired) // 2


def check_basis(basis: str, species: Iterable[int]) -> None:
    """Raise BasisError unless PySCF has a basis of this name for every element, for all electrons or with a potential.

    Args:
        basis: name of a basis set.
        species: atomic numbers.
    """
    if is_auxiliary(basis):
        raise BasisError(
            f"basis '{basis}' is an auxiliary set, which densities are fitted with; choose a basis of orbitals, such "
            "as def2-SVP or cc-pVDZ"
        )
    lacking, pseudised = [], []
    for name in [symbol(number) for number in sorted(set(map(int, species)))]:
        try:
            if not _has_core(basis, name):
                pseudised.append(name)
        except BasisError:
            lacking.append(name)
    if lacking and is_of_pseudopotentials(basis) and is_known(basis):
        raise BasisError(
            f"PySCF has {basis}, but not for {', '.join(lacking)}: it belongs to a pseudopotential; choose an "
            "all-electron basis, such as def2-SVP or cc-pVDZ"
        )
    if (
        lacking
        and not is_known(basis)
        and not any(_loads(basis, name) for name in ("H", "C", "O", "Si", "Fe", *lacking))
    ):
        raise BasisError(_unknown(basis))
    if lacking:
        raise BasisError(
            f"basis '{basis}' has no functions for {', '.join(lacking)}; choose a basis that covers these elements, "
            "such as def2-SVP, or leave out the structures that contain them"
        )
    if pseudised:
        raise BasisError(
            f"basis '{basis}' for {', '.join(pseudised)} lacks the core electrons, and PySCF has no effective core "
            "potential of this name (it belongs to a pseudopotential, or is an auxiliary set); choose another, such as "
            "def2-SVP"
        )


@lru_cache(maxsize=1024)
def load_basis(basis: str, name: str) -> Any:
    """Return PySCF's parsed basis of one element: shells ``[l, [exponent, coefficient, ...], ...]``, l ascending.

    Args:
        basis: name of a basis set; a file or the text of a basis is refused.
        name: chemical symbol.

    Raises:
        BasisError: if PySCF has no such basis for this element.
    """
    from pyscf import gto

    # PySCF would read files (also after a prefix 'unc' or before '@') and evaluate expressions in them
    if not NAME_OF_A_BASIS.fullmatch(basis) or any(os.path.isfile(name) for name in (basis, basis[3:], basis[4:])):
        raise BasisError(f"basis '{basis[:80]}' is a file or text; expected the name of a basis set PySCF has")
    gto.basis.parse_nwchem.DISABLE_EVAL = gto.basis.parse_cp2k.DISABLE_EVAL = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PySCF advertises a package that has more basis sets
            shells = gto.format_basis({name: basis})[name]
    except _REFUSALS:
        raise BasisError(f"PySCF has no basis '{basis}' for {name}; choose one that covers it") from None
    return [[int(shell[0]), *([float(x) for x in row] for row in _rows(shell))] for shell in shells]


COST_POWER = 3.5
"""Of the number of functions with which the time of a calculation grows: 3.4 from 48 to 114 functions."""


def n_functions(basis: str, numbers: Iterable[int]) -> int:
    """Return the number of functions that a molecule has in a basis: what the time of a calculation grows with."""
    counts = Counter(int(number) for number in numbers)
    of_element = {z: sum((2 * row[0] + 1) * (len(row[1]) - 1) for row in load_basis(basis, symbol(z))) for z in counts}
    return sum(n * of_element[z] for z, n in counts.items())


def basis_hash(basis: str, species: Iterable[int]) -> str:
    """Return the SHA-256 of exponents and coefficients of a basis, and of its potentials, for these atomic numbers."""
    species = [int(number) for number in species]
    parsed = {name: load_basis(basis, name) for name in sorted({symbol(number) for number in species})}
    potentials = {f"ecp {name}": potential for name, potential in core_potentials(basis, species).items()}
    return hashlib.sha256(json.dumps(parsed | potentials, sort_keys=True).encode()).hexdigest()


def formula(numbers: Iterable[int]) -> str:
    """Return a formula such as ``C2H6O``: C and H first, then by symbol."""
    counts: dict[str, int] = {}
    for number in numbers:
        counts[symbol(int(number))] = counts.get(symbol(int(number)), 0) + 1
    order = sorted(counts, key=lambda name: ({"C": 0, "H": 1}.get(name, 2), name))
    return "".join(f"{name}{counts[name] if counts[name] > 1 else ''}" for name in order)


def _rows(shell: Sequence[Any]) -> Sequence[Any]:
    """The primitives of a shell; a relativistic kappa, which PySCF may put second, must be zero."""
    if isinstance(shell[1], int):
        if shell[1]:
            raise BasisError("the basis has spin-orbit shells (kappa); choose a non-relativistic one")
        return shell[2:]
    return shell[1:]


def _loads(basis: str, name: str) -> bool:
    try:
        return bool(load_basis(basis, name))
    except BasisError:
        return False


def core_potentials(basis: str, species: Iterable[int]) -> dict[str, Any]:
    """Return the effective core potentials that belong to a basis, by symbol; of most elements there is none."""
    found = {name: core_potential(basis, name) for name in sorted({symbol(int(number)) for number in species})}
    return {name: potential for name, potential in found.items() if potential}


def n_core_electrons(basis: str, number: int) -> int:
    """Return how many electrons of an element the effective core potential of a basis replaces; 0 without one."""
    potential = core_potential(basis, symbol(int(number)))
    return int(potential[0]) if potential else 0


@lru_cache(maxsize=1024)
def core_potential(basis: str, name: str) -> Any:
    """Return PySCF's parsed potential of one element, whose first entry is the number of electrons; empty if none.

    PySCF's minao has no core shells beyond krypton, as it is made for the potentials of def2.
    """
    from pyscf import gto

    load_basis(basis, name)  # refuses files and text
    basis = "def2-svp" if basis.lower() == "minao" else basis
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return gto.basis.load_ecp(basis, name) or []
    except _REFUSALS:
        return []


@lru_cache(maxsize=1024)
def _has_core(basis: str, name: str) -> bool:
    """Whether a basis describes all electrons of an element, or those a potential of its name leaves.

    An all-electron 1s function needs exponents around 2 Z^2; the steepest s function of every basis made for a
    pseudopotential or for fitting falls short of Z^2.
    """
    if core_potential(basis, name):
        return True
    exponents = [row[0] for shell in load_basis(basis, name) if shell[0] == 0 for row in shell[1:]]
    return max(exponents, default=0.0) >= atomic_number(name) ** 2


def _unknown(basis: str) -> str:
    from pyscf.gto.basis import ALIAS

    return (
        f"basis '{basis}' is not one PySCF has{nearest(plain(basis), list(ALIAS))}"
        " (capitals, '-' and '_' do not matter); common ones are STO-3G, 6-31G*, def2-SVP, cc-pVDZ"
    )
