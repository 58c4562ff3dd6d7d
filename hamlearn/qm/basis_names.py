"""Names of PySCF's basis sets: which files they stand for, and which of them are no basis of orbitals."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

PSEUDOPOTENTIALS = re.compile(r"(pp|ecp|gth.*|lanl.*|stuttgart.*|crenb.*|bfd.*|ccecp.*)$")
_FIT = re.compile(r"fit|[-_]ri\b|optri", re.IGNORECASE)


def plain(basis: str) -> str:
    """Return a name as PySCF looks it up: without capitals, '-', '_', spaces, 'unc' in front and '@...' behind."""
    name = re.sub(r"[-_ ]", "", basis.lower()).partition("@")[0]
    return name if name in _files() else re.sub(r"^unc(ontracted)?", "", name)


def is_known(basis: str) -> bool:
    """Return whether PySCF has a basis of this name for some elements."""
    return plain(basis) in _files()


def is_auxiliary(basis: str) -> bool:
    """Return whether a name stands for functions that densities or pairs of orbitals are fitted with.

    They are those whose files say so, and those PySCF fits with by itself.
    """
    files = _files().get(plain(basis), ())
    return any(_FIT.search(Path(file).name) or file in _fitted_with() for file in files)


def is_of_pseudopotentials(basis: str) -> bool:
    """Return whether a name tells that the basis belongs to pseudopotentials."""
    return bool(PSEUDOPOTENTIALS.search(plain(basis)))


@lru_cache(maxsize=1)
def _files() -> dict[str, tuple[str, ...]]:
    from pyscf.gto.basis import ALIAS, GTH_ALIAS

    return {name: (file,) if isinstance(file, str) else tuple(file) for name, file in {**GTH_ALIAS, **ALIAS}.items()}


@lru_cache(maxsize=1)
def _fitted_with() -> frozenset[str]:
    """Files of the sets PySCF takes for fitting when none is named."""
    from pyscf.df.addons import DEFAULT_AUXBASIS

    names = {name for pair in DEFAULT_AUXBASIS.values() for name in pair if name}
    return frozenset(file for name in names for file in _files().get(plain(name), ()))
