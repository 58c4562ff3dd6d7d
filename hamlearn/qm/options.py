"""Solvent, electric field and the other options of ``qm.pyscf``, as PySCF takes them."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from hamlearn.config import QMSettings
from hamlearn.config.pyscf import SOLVERS, PySCFSettings
from hamlearn.errors import ConfigError
from hamlearn.qm.basis_names import is_known

ATOMIC_UNIT_V_PER_ANGSTROM = 51.42206747632590  # of the electric field: Hartree / (e Bohr)
N_NEAR = 5


def check_options(settings: QMSettings) -> None:
    """Refuse options that PySCF lacks.

    Raises:
        ConfigError: for an unknown solvent, naming near ones, an unknown auxiliary basis, or a grid without functional.
    """
    options = settings.pyscf
    if options is None:
        return
    if options.solvent is not None:
        solvent_name(options.solvent)
    if options.auxbasis is not None and not is_known(options.auxbasis):
        raise ConfigError(
            f"qm.pyscf.auxbasis: PySCF has no basis '{options.auxbasis}'; leave it out for the one made for qm.basis, "
            "or give another, such as def2-universal-jkfit or weigend"
        )
    if options.grid_level is not None and settings.xc is None:
        raise ConfigError(
            f"qm.pyscf.grid_level is of Kohn-Sham functionals, and method {settings.method} has none; drop grid_level"
        )


def solvent_name(name: str) -> str:
    """Return a solvent as PySCF's SMD spells it; capitals, spaces and '-' do not matter.

    Raises:
        ConfigError: if PySCF does not have it, naming near ones.
    """
    from pyscf.solvent.smd import solvent_db

    plain = {_plain(known): known for known in solvent_db}
    if _plain(name) in plain:
        return plain[_plain(name)]
    close = difflib.get_close_matches(_plain(name), list(plain), n=N_NEAR, cutoff=0.5)
    near = f"near ones: {', '.join(plain[match] for match in close)}; " if close else ""
    raise ConfigError(
        f"qm.pyscf.solvent: PySCF has no solvent '{name}'; {near}others are water, methanol, acetonitrile, toluene, "
        "chloroform; or give dielectric_constant in place of solvent"
    )


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum() or letter == ",")


def with_options(field: Any, settings: QMSettings) -> Any:
    """Return a mean field with the options of the settings; itself if there are none."""
    options = settings.pyscf
    if options is None:
        return field
    if options.density_fit:
        field = field.density_fit(auxbasis=options.auxbasis)
    if options.has_solvent:
        field = _in_solvent(field, options)
    if options.has_field:
        _put_in_field(field, options)
    for name in SOLVERS:
        if (value := getattr(options, name)) is not None:
            setattr(field, name, value)
    return field


def _in_solvent(field: Any, options: PySCFSettings) -> Any:
    """Return a mean field in an implicit solvent, which takes part in its second derivatives as well."""
    from pyscf import solvent
    from pyscf.solvent.smd import solvent_db

    name = None if options.solvent is None else solvent_name(options.solvent)
    model = options.solvent_model
    if model == "SMD":
        field = solvent.SMD(field)
        field.with_solvent.solvent = name
    else:
        field = getattr(solvent, model if model.startswith("dd") else "PCM")(field)
        field.with_solvent.eps = options.dielectric_constant if name is None else float(solvent_db[name][5])
        if not model.startswith("dd"):
            field.with_solvent.method = model
    field.with_solvent.equilibrium_solvation = True
    return field


def _put_in_field(field: Any, options: PySCFSettings) -> None:
    """Add the energy of electrons in a field, about the centre of the nuclear charges, where that of nuclei is zero."""
    mole = field.mol
    vector = np.array(options.field_v_per_angstrom) / ATOMIC_UNIT_V_PER_ANGSTROM
    charges = mole.atom_charges()
    with mole.with_common_orig(charges @ mole.atom_coords() / charges.sum()):
        of_field = np.einsum("x,xij->ij", vector, mole.intor_symmetric("int1e_r", comp=3))
    core = field.get_hcore()
    field.get_hcore = lambda *_, **__: core + of_field
