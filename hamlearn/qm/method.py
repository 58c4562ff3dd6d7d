"""The PySCF mean field of the settings, and functionals that are refused."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from typing import Any

import numpy as np

from hamlearn.config import QMSettings
from hamlearn.errors import ConfigError, nearest
from hamlearn.qm.functional_kinds import complaints
from hamlearn.qm.options import with_options
from hamlearn.types import FloatArray

GRID_LEVEL = 3
DEGENERATE_HARTREE = 1e-4
"""Below this distance frontier levels of a spin share their electrons; grids lift degeneracies by less."""


def mean_field(mole: Any, settings: QMSettings) -> Any:
    """Return the mean-field object of a molecule, not yet run, with no file behind it.

    Raises:
        ConfigError: if the functional is unknown, ambiguous or carries a dispersion correction.
    """
    from pyscf import dft, scf

    with no_checkpoint_files():
        if settings.xc is None:
            field = {"RHF": scf.RHF, "UHF": scf.UHF, "ROHF": scf.ROHF}[settings.method](mole)
        else:
            check_functional(settings.xc)
            field = {"RKS": dft.RKS, "UKS": dft.UKS, "ROKS": dft.ROKS}[settings.method](mole, xc=settings.xc)
            field.grids.level = _grid_level(settings)
        field = with_options(field, settings)
    if settings.method.startswith("U"):
        share_degenerate_levels(field)
    field.conv_tol = settings.conv_tol
    return field


def share_degenerate_levels(field: Any) -> None:
    """Let degenerate frontier levels of an unrestricted field share their electrons, in place.

    Else an arbitrary one of them is filled, as in the pi shell of OH, and the Fock matrix points in a direction that
    the geometry does not define; so it has the symmetry of the molecule, like the density of a spherical atom.
    """

    def occupations(energies: Any = None, orbitals: Any = None) -> Any:
        energies = field.mo_energy if energies is None else energies
        return np.array([fractional_occupations(e, int(n)) for e, n in zip(energies, field.nelec, strict=True)])

    field.get_occ = occupations


def fractional_occupations(energies: FloatArray, n_electrons: int) -> FloatArray:
    """Return the occupations of the lowest levels [level]; those degenerate with the last share what is left."""
    occupations = np.zeros(len(energies))
    if not n_electrons:
        return occupations
    order = np.argsort(energies)
    last = energies[order[n_electrons - 1]]
    occupations[energies < last - DEGENERATE_HARTREE] = 1.0
    shared = np.abs(energies - last) <= DEGENERATE_HARTREE
    occupations[shared] = (n_electrons - occupations.sum()) / shared.sum()
    return occupations


@contextmanager
def no_checkpoint_files() -> Iterator[None]:
    """Have PySCF make mean fields without a temporary file, which a kill would leave behind."""
    from pyscf.scf import hf

    before, hf.MUTE_CHKFILE = hf.MUTE_CHKFILE, True
    try:
        yield
    finally:
        hf.MUTE_CHKFILE = before


def describe_method(settings: QMSettings) -> dict[str, Any]:
    """Return what defines the energy: method, functional with libxc's components, grid."""
    out: dict[str, Any] = {"method": settings.method, "xc": settings.xc}
    if settings.xc is not None:
        from pyscf.dft import libxc

        out |= {
            "xc_components": [list(component) for component in check_functional(settings.xc)],
            "xc_exact_exchange": float(libxc.hybrid_coeff(settings.xc)),
            "xc_range_separation": [float(number) for number in libxc.rsh_coeff(settings.xc)],
            "libxc": str(libxc.__version__),
            "grid_level": _grid_level(settings),
        }
    return out | ({} if settings.pyscf is None else {"options": settings.pyscf.given()})


def _grid_level(settings: QMSettings) -> int:
    chosen = None if settings.pyscf is None else settings.pyscf.grid_level
    return GRID_LEVEL if chosen is None else chosen


@lru_cache(maxsize=64)
def check_functional(xc: str) -> tuple[tuple[int, float], ...]:
    """Return the components of a functional: libxc's numbers and their factors.

    Args:
        xc: as PySCF spells functionals, such as ``pbe``, ``pbe0``, ``b3lypg`` or ``0.5*hf+0.5*b88,lyp``.

    Raises:
        ConfigError: if it is unknown, means different functionals in different programs, has a dispersion
            correction, which changes the energy but not the Fock matrix, or is none of molecules (without an energy,
            with the Laplacian, kinetic, of one or two dimensions, of odd factors), as libxc's flags tell.
    """
    from pyscf.dft import libxc
    from pyscf.scf.dispersion import parse_dft

    terms = re.split(r"[+,*]|-(?=[\d.])", xc.upper())
    for name in {re.sub("[-_ ]", "", term) for term in terms}:
        if {f"{name}G", f"{name}5"} <= libxc.XC_KEYS:
            raise ConfigError(
                f"xc '{xc}' means different functionals in different programs; name the variant: "
                f"{name.lower()}g (VWN3, as Gaussian) or {name.lower()}5 (VWN5, as ORCA and Turbomole)"
            )
    said = io.StringIO()
    try:
        with redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dispersion = parse_dft(xc)[2]
            (exact_exchange, *_), components = libxc.parse_xc(xc)
            libxc.xc_type(xc)
    except (KeyError, ValueError, IndexError, AttributeError, NotImplementedError) as error:
        suggestion = _usable(nearest(xc.upper(), sorted({*libxc.XC_KEYS, *libxc.XC_ALIAS})))
        raise ConfigError(
            f"xc '{xc}' is no functional PySCF knows ({error}){suggestion}; examples: pbe, pbe0, b3lypg, r2scan"
        ) from None
    if dispersion:
        raise ConfigError(
            f"xc '{xc}' has a dispersion correction, which leaves the Fock matrix as it is; drop the suffix"
        )
    if said.getvalue():  # several match and PySCF would pick one of them
        raise ConfigError(f"xc '{xc}' is ambiguous; spell it out. PySCF says: {said.getvalue().strip()}")
    found = tuple((int(i), float(f)) for i, f in components)
    if unfit := list(complaints(found, float(exact_exchange))):
        raise ConfigError(
            f"xc '{xc}': PySCF cannot run an SCF of a molecule with this functional: {'; '.join(unfit)}; choose "
            "another, such as pbe, pbe0, b3lypg or r2scan"
        )
    return found


def _usable(suggestion: str) -> str:
    """Return a suggestion, unless what it suggests is refused, too."""
    name = suggestion.partition("'")[2].rpartition("'")[0]
    try:
        check_functional(name)
    except ConfigError:
        return ""
    return suggestion
