"""Densities of atoms side by side, which SCFs start from and no SCF of the molecule is needed for."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from hamlearn.angular.ao_order import core_shells
from hamlearn.angular.elements import atomic_number
from hamlearn.qm.method import no_checkpoint_files
from hamlearn.qm.molecule import core_potentials, load_basis, silent_mole
from hamlearn.types import FloatArray


def atomic_density(field: Any, basis: str, name: str) -> Any:
    """Return the density matrix of the guess ``core``, ``atom`` or ``minao`` [ao, ao]; see :func:`of_each_spin`."""
    if name == "core":
        return field.init_guess_by_1e()
    return of_each_spin(field, _atom_density(field.mol, basis) if name == "atom" else _minao_density(field.mol))


def of_each_spin(field: Any, density: Any) -> Any:
    """Return the density as a mean field takes it: for unrestricted ones half of it for either spin [spin, ao, ao].

    What tells the spins apart is then the number of their electrons alone.
    """
    return np.stack([0.5 * density, 0.5 * density]) if has_spins(field) else density


def has_spins(field: Any) -> bool:
    """Return whether a mean field has a density of each spin."""
    from pyscf import scf

    return isinstance(field, (scf.uhf.UHF, scf.rohf.ROHF))


def _atom_density(mole: Any, basis: str) -> FloatArray:
    from scipy.linalg import block_diag

    symbols = [mole.atom_pure_symbol(atom) for atom in range(mole.natm)]
    return block_diag(*(_atom(basis, name) for name in symbols))


@lru_cache(maxsize=256)
def _atom(basis: str, name: str) -> FloatArray:
    """Density of a spherically averaged Hartree-Fock atom, as PySCF's guess 'atom', but once per process."""
    from pyscf.scf import atom_hf

    shells = {name: load_basis(basis, name)}
    mole = silent_mole([name], np.zeros((1, 3)), shells, potentials=core_potentials(basis, [atomic_number(name)]))
    with warnings.catch_warnings(), no_checkpoint_files():
        warnings.simplefilter("ignore", DeprecationWarning)  # PySCF calls a function it is about to drop
        _, _, orbitals, occupations = atom_hf.get_atm_nrhf(mole)[name]
    return (orbitals * occupations) @ orbitals.T


def _minao_density(mole: Any) -> Any:
    """Density of ANO atoms projected on the basis: PySCF's guess 'minao', with the ANO file read only once."""
    from pyscf.scf import addons

    atoms = [(mole.atom_pure_symbol(atom), int(mole.atom_nelec_core(atom))) for atom in range(mole.natm)]
    minimal = silent_mole(
        [name for name, _ in atoms], mole.atom_coords(), {name: _ano(name, n)[0] for name, n in atoms}
    )
    occupations = np.hstack([_ano(*atom)[1] for atom in atoms])
    orbitals = addons.project_mo_nr2nr(minimal, np.eye(minimal.nao), mole)
    return tagged_density(orbitals, occupations)


@lru_cache(maxsize=128)
def _ano(name: str, n_core: int) -> tuple[list[Any], FloatArray]:
    """ANO functions of the occupied shells of an atom and their spherically averaged occupations.

    Shells of electrons that a potential replaces are left out.
    """
    from pyscf import gto
    from pyscf.scf import atom_hf

    ano = gto.basis.load("ano", name)
    shells, occupations = [], []
    hidden = core_shells(n_core) or [0] * 4
    for l in range(4):
        full, fraction = atom_hf.frac_occ(name, l)
        filling = ([2.0] * full + [fraction] * (fraction > 0))[hidden[l] :]
        if filling:
            shown = slice(1 + hidden[l], 1 + hidden[l] + len(filling))
            shells.append([l, *([*row[:1], *row[shown]] for row in ano[l][1:])])
            occupations.append(np.repeat(filling, 2 * l + 1))
    return shells, np.hstack(occupations)


def tagged_density(orbitals: FloatArray, occupations: FloatArray) -> Any:
    """Density of some orbitals, which come with it because they speed up Kohn-Sham builds."""
    from pyscf import lib

    return lib.tag_array((orbitals * occupations) @ orbitals.T, mo_coeff=orbitals, mo_occ=occupations)
