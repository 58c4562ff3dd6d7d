"""Chemical symbols, so that nothing here needs ASE or PySCF."""

from __future__ import annotations

from hamlearn.errors import StructureError

_ROWS = """H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re
Os Ir Pt Au Hg Tl Pb Bi Po At Rn"""
SYMBOLS = ("X", *_ROWS.split())


def symbol(number: int) -> str:
    """Return the chemical symbol of an atomic number."""
    if not 1 <= number < len(SYMBOLS):
        raise StructureError(f"atomic number {number} is no element hamlearn knows (1 to {len(SYMBOLS) - 1})")
    return SYMBOLS[number]


def atomic_number(name: str) -> int:
    """Return the atomic number of a chemical symbol."""
    try:
        return SYMBOLS.index(name.capitalize())
    except ValueError:
        raise StructureError(f"'{name}' is no element hamlearn knows") from None
