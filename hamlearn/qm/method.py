"""The PySCF mean field of the settings, and functionals that are refused."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from typing import Any

from hamlearn.config import QMSettings
from hamlearn.errors import ConfigError, nearest
from hamlearn.qm.functional_kinds import complaints

GRID_LEVEL = 3


def mean_field(mole: Any, settings: QMSettings) -> Any:
    """Return the RHF or RKS object of a molecule, not yet run, with no file behind it.

    Raises:
        ConfigError: if the functional is unknown, ambiguous or carries a dispersion correction.
    """
    from pyscf import dft, scf

    with no_checkpoint_files():
        if settings.method == "RHF":
            field = scf.RHF(mole)
        else:
            assert settings.xc is not None  # the settings guarantee it
            check_functional(settings.xc)
            field = dft.RKS(mole, xc=settings.xc)
            field.grids.level = GRID_LEVEL
    field.conv_tol = settings.conv_tol
    return field


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
            "grid_level": GRID_LEVEL,
        }
    return out


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
