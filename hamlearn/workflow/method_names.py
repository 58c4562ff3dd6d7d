"""Methods as the command line names them, and what a restricted one cannot describe."""

from __future__ import annotations

from collections.abc import Sequence

from hamlearn.config import QMSettings
from hamlearn.errors import ConfigError, StructureError
from hamlearn.symmetry import Multiplet


def parse_method(text: str) -> QMSettings:
    """Return the settings of METHOD/BASIS: RHF, UHF, ROHF, or a functional, after u an unrestricted one.

    Raises:
        ConfigError: if it is not of this form.
    """
    method, slash, basis = (part.strip() for part in text.partition("/"))
    if not (method and slash and basis) or method.upper() in ("RKS", "UKS", "ROKS"):
        raise ConfigError(
            f"--qm {text}: expected METHOD/BASIS, such as RHF/def2-SVP or, with a functional, pbe/def2-SVP"
        )
    try:
        if method.upper() in ("RHF", "HF"):
            return QMSettings(method="RHF", basis=basis)
        if method.upper() == "UHF":
            return QMSettings(method="UHF", basis=basis)
        if method.upper() == "ROHF":
            return QMSettings(method="ROHF", basis=basis)
        if method[0] in "uU" and not _is_functional(method) and _is_functional(method[1:]):
            return QMSettings(method="UKS", xc=method[1:], basis=basis)
        return QMSettings(method="RKS", xc=method, basis=basis)
    except ConfigError as error:
        raise ConfigError(f"--qm {text}: {error}") from None


def _is_functional(name: str) -> bool:
    from hamlearn.qm.method import check_functional

    try:
        return bool(check_functional(name))
    except ConfigError:
        return False


def check_closed_shell(levels: Sequence[Multiplet], settings: QMSettings) -> None:
    """Refuse a restricted calculation that fills a degenerate level in part: its matrix lacks the symmetry.

    Raises:
        StructureError: naming the level and what to use instead.
    """
    partly = [level for level in levels if 0 < level.occupation < level.capacity]
    if partly:
        irrep, held = partly[0].irrep, partly[0].occupation
        unpaired = min(held, partly[0].capacity - held)
        method = f"u{settings.xc}" if settings.xc else "UHF"
        raise StructureError(
            f"the {partly[0].degeneracy}-fold level {irrep} holds {held} of {partly[0].capacity} electrons: an open "
            f"shell, which {settings.method} cannot describe; use --qm {method}/{settings.basis} with --multiplicity, "
            f"such as {unpaired + 1} (in Python: qm and multiplicity)"
        )
