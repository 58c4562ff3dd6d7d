"""The PySCF molecule of a geometry, and what is refused before any calculation."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.angular.elements import atomic_number, symbol
from hamlearn.errors import BasisError, StructureError, nearest
from hamlearn.qm.basis_names import has_potential, is_auxiliary, is_known, is_of_pseudopotentials, plain
from hamlearn.qm.pyscf_settings import check_defaults

# what PySCF raises, according to the kind of file, for a basis or element it does not have
_REFUSALS = (RuntimeError, LookupError, AssertionError, ValueError, OSError, AttributeError, TypeError)

NAME_OF_A_BASIS = re.compile(r"[\w+*(), -]+")


def build_mole(numbers: Iterable[int], positions_bohr: ArrayLike, basis: str) -> Any:
    """Return the neutral closed-shell PySCF Mole: spherical functions, no point-group symmetry, silent.

    Args:
        numbers: atomic numbers [atom].
        positions_bohr: [atom, 3], Bohr.
        basis: name of a basis set PySCF has.

    Returns:
        A built ``pyscf.gto.Mole``. Rotating the positions leaves its functions where they are: they are
        always along x, y, z.

    Raises:
        BasisError: if the basis is unknown, lacks an element or its core electrons.
        StructureError: if the number of electrons is odd.
    """
    numbers = [int(number) for number in numbers]
    check_electrons(numbers)
    check_basis(basis, numbers)
    symbols = [symbol(number) for number in numbers]
    return silent_mole(symbols, positions_bohr, {name: load_basis(basis, name) for name in set(symbols)})


def silent_mole(symbols: Sequence[str], positions_bohr: ArrayLike, shells: Mapping[str, Any], spin: int = 0) -> Any:
    """Return a neutral PySCF Mole of given shells that reads no command line and prints nothing.

    Args:
        symbols: chemical symbols [atom].
        positions_bohr: [atom, 3], Bohr.
        shells: for each symbol its shells as :func:`load_basis` returns them.
        spin: number of unpaired electrons.
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
        charge=0,
        spin=spin,
        cart=False,
        symmetry=False,
    )


def check_electrons(numbers: Iterable[int]) -> None:
    """Raise StructureError unless the neutral molecule has an even number of electrons."""
    numbers = list(numbers)
    n_electrons = sum(numbers)
    if n_electrons % 2:
        raise StructureError(
            f"{formula(numbers)} has {n_electrons} electrons as a neutral molecule; restricted calculations need "
            "an even number: remove it or add the missing atom"
        )


def check_basis(basis: str, species: Iterable[int]) -> None:
    """Raise BasisError unless PySCF has an all-electron basis of this name for every element.

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
            f"basis '{basis}' for {', '.join(pseudised)} lacks the core electrons (it belongs to a "
            "pseudopotential); hamlearn needs an all-electron basis: choose another"
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


def basis_hash(basis: str, species: Iterable[int]) -> str:
    """Return the SHA-256 of exponents and coefficients of a basis for these atomic numbers."""
    parsed = {name: load_basis(basis, name) for name in sorted({symbol(int(number)) for number in species})}
    return hashlib.sha256(json.dumps(parsed, sort_keys=True).encode()).hexdigest()


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


@lru_cache(maxsize=1024)
def _has_core(basis: str, name: str) -> bool:
    """Whether a basis describes all electrons of an element.

    An all-electron 1s function needs exponents around 2 Z^2; the steepest s function of every basis made for a
    pseudopotential or for fitting falls short of Z^2, except a few whose file carries the potential itself.
    """
    exponents = [row[0] for shell in load_basis(basis, name) if shell[0] == 0 for row in shell[1:]]
    if max(exponents, default=0.0) < atomic_number(name) ** 2:
        return False
    return not has_potential(basis, name)


def _unknown(basis: str) -> str:
    from pyscf.gto.basis import ALIAS

    return (
        f"basis '{basis}' is not one PySCF has{nearest(plain(basis), list(ALIAS))}"
        " (capitals, '-' and '_' do not matter); common ones are STO-3G, 6-31G*, def2-SVP, cc-pVDZ"
    )
