"""Matrices straight from PySCF, independent of hamlearn.qm: what the rest is compared with."""

import scipy.linalg

from hamlearn.units import BOHR_ANGSTROM


def bare_mole(atoms, basis):
    """A Mole straight from PySCF, independent of hamlearn.qm."""
    from pyscf import gto

    pairs = list(zip(atoms.get_chemical_symbols(), (atoms.positions / BOHR_ANGSTROM).tolist(), strict=True))
    return gto.M(atom=pairs, unit="Bohr", basis=basis, verbose=0, parse_arg=False)


def bare_rhf(atoms, basis="sto-3g", conv_tol=1e-13):
    """(Mole, F, S) from PySCF alone."""
    from pyscf import scf

    mole = bare_mole(atoms, basis)
    field = scf.RHF(mole)
    field.conv_tol, field.conv_tol_grad = conv_tol, 1e-9
    field.kernel()
    return mole, field.get_fock(), field.get_ovlp()


def lowdin(fock, overlap):
    """S^-1/2 F S^-1/2 by scipy."""
    root = scipy.linalg.inv(scipy.linalg.sqrtm(overlap).real)
    return root @ fock @ root
