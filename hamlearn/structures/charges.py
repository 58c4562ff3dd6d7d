"""Charge and multiplicity of a molecule, as its file and the settings state them.

What is stated is used or refused, never ignored: under any of the names that files use, in ``info``, in per-atom
arrays, and in the settings of the calculations. Two statements must agree; what is not stated is a neutral molecule
with as few unpaired electrons as it can have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.config import QMSettings
from hamlearn.errors import StructureError

if TYPE_CHECKING:
    from ase import Atoms

ROUNDING = 0.1
"""Charges or moments of atoms are rounded, and so is their sum, which is a whole number."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CHARGES = _names(
    "charge totalcharge totcharge chargetotal netcharge molcharge molecularcharge moleculecharge systemcharge "
    "formalcharge totalformalcharge chg chrg q qtot qtotal totalq"
)
MULTIPLICITIES = _names(
    "multiplicity mult multip multi spinmultiplicity spinmult totalmultiplicity totalspinmultiplicity molmultiplicity "
    "2s1"
)
UNPAIRED = _names(
    "uhf nopen nunpaired unpaired unpairedelectrons nunpairedelectrons numunpairedelectrons 2s twos "
    "magmom totalmagmom totmagmom magneticmoment totalmagneticmoment totalmagnetization"
)
SPINS = _names("spin totalspin spinstate")
"""Programs call so 2S, S or 2S + 1."""
ATOMIC_CHARGES = _names(
    "initialcharges initialcharge charges charge formalcharges formalcharge partialcharges partialcharge "
    "atomiccharges atomiccharge q"
)
ATOMIC_MOMENTS = _names("initialmagmoms initialmagmom magmoms magmom magneticmoments initialmoments")

_TWO_NUMBERS = re.compile(r"[+-]?\d+[\s,;/]+\d+")
_NUMBER = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)([+-]?)")


@dataclass(frozen=True)
class ElectronicState:
    """Charge, e, and multiplicity 2S + 1 of a molecule; both are invariant under rotation and permutation."""

    charge: int = 0
    multiplicity: int = 1

    @property
    def in_words(self) -> str:
        """Both, for messages."""
        return f"charge {self.charge}, multiplicity {self.multiplicity}"


NEUTRAL_SINGLET = ElectronicState()


@dataclass(frozen=True)
class _Statement:
    """What one place says: words for messages, and the charge or the possible numbers of unpaired electrons."""

    words: str
    charge: int | None = None
    unpaired: frozenset[int] | None = None
    problem: str = ""
    is_guessed: bool = False  # from a name that is not known: it may repeat, but not decide


def electronic_state(atoms: Atoms, qm: QMSettings) -> ElectronicState:
    """Return charge and multiplicity of a molecule.

    Args:
        atoms: the molecule; ``info``, and charges and moments in ``arrays``.
        qm: settings of the calculations, whose charge and multiplicity, where given, are those of every molecule.

    Raises:
        StructureError: for statements that are no whole numbers, contradict each other or the number of electrons,
            may mean several things, or are open shells where the method is restricted.
    """
    state, problems = _resolved(atoms, qm)
    if state is None:
        raise StructureError(f"{atoms.get_chemical_formula()}: {'; '.join(problems)}")
    return state


def electronic_problems(atoms: Atoms, qm: QMSettings) -> list[str]:
    """Return in words why a molecule has no electronic state that calculations can have; empty if it has one."""
    return _resolved(atoms, qm)[1]


def of_molecule(qm: QMSettings, atoms: Atoms) -> QMSettings:
    """Return the settings of the calculation of one molecule: those of all, with its own charge and multiplicity.

    Raises:
        StructureError: as :func:`electronic_state`.
    """
    state = electronic_state(atoms, qm)
    return qm.model_copy(update={"charge": state.charge, "multiplicity": state.multiplicity})


def _resolved(atoms: Atoms, qm: QMSettings) -> tuple[ElectronicState | None, list[str]]:
    said = [*_of_settings(qm), *_of_info(atoms), *_of_arrays(atoms)]
    problems = [statement.problem for statement in said if statement.problem]
    charge = _agreed_charge(said, problems)
    n_electrons = int(atoms.numbers.sum()) - charge
    if n_electrons < 1:
        problems.append(f"charge {charge} leaves {n_electrons} electrons")
    if problems:
        return None, problems
    unpaired = _agreed_unpaired(said, n_electrons, charge, problems)
    if unpaired and not qm.has_spins and not problems:
        problems.append(_open_shell(n_electrons, unpaired, charge, qm))
    state = ElectronicState(charge, unpaired + 1)
    problems += [f"{s.words} looks like a charge or spin, and is none that was used; {_RENAME}" for s in said
                 if s.is_guessed and not _repeats(s, state)]  # fmt: skip
    return (None if problems else state), problems


_RENAME = "call it charge or multiplicity, or remove it"


def _open_shell(n_electrons: int, unpaired: int, charge: int, qm: QMSettings) -> str:
    odd = f"{n_electrons} electrons{_with(charge)}, an odd number"
    what = odd if n_electrons % 2 else f"multiplicity {unpaired + 1}: {unpaired} unpaired electrons"
    return f"{what}; method {qm.method} takes only closed shells: use U{qm.method[1:]}, or give the right charge"


def _with(charge: int) -> str:
    return f" with charge {charge:+d}" if charge else ""


def _agreed_charge(said: Iterable[_Statement], problems: list[str]) -> int:
    found = [s for s in said if s.charge is not None and not s.is_guessed]
    for other in found[1:]:
        if other.charge != found[0].charge:
            problems.append(f"{found[0].words} contradicts {other.words}; keep the right one")
    return int(found[0].charge or 0) if found else 0


def _agreed_unpaired(said: Iterable[_Statement], n_electrons: int, charge: int, problems: list[str]) -> int:
    """Return how many electrons are unpaired: what all statements have in common, or as few as can be."""
    lowest = n_electrons % 2
    possible, words = set(range(lowest, n_electrons + 1, 2)), ""
    for statement in said:
        if statement.unpaired is None or statement.is_guessed:
            continue
        own = set(range(lowest, n_electrons + 1, 2)) & statement.unpaired
        if not own:
            problems.append(f"{statement.words} is impossible with {n_electrons} electrons{_with(charge)}")
            return lowest
        if not own & possible:
            problems.append(f"{statement.words} contradicts {words}; keep the right one")
            return lowest
        possible &= own
        words = f"{words} and {statement.words}" if words else statement.words
    if not words:
        return lowest
    if len(possible) > 1:
        meant = " or ".join(str(k + 1) for k in sorted(possible))
        problems.append(f"{words} may be the multiplicity, 2S or S (multiplicity {meant}); call it multiplicity")
    return min(possible)


def _repeats(statement: _Statement, state: ElectronicState) -> bool:
    if statement.charge is not None:
        return statement.charge == state.charge
    return statement.unpaired is None or state.multiplicity - 1 in statement.unpaired


def _of_settings(qm: QMSettings) -> Iterator[_Statement]:
    if qm.charge is not None:
        yield _Statement(f"qm.charge {qm.charge}", charge=qm.charge)
    if qm.multiplicity is not None:
        yield _Statement(f"qm.multiplicity {qm.multiplicity}", unpaired=frozenset({qm.multiplicity - 1}))


def _of_info(atoms: Atoms) -> Iterator[_Statement]:
    for key, value in atoms.info.items():
        name = _plain(key)
        if value is None or not speaks_of_electrons(name):
            continue
        if np.size(value) == len(atoms) > 1:  # of every atom
            yield from _of_atoms(f"info['{key}']", name, value, atoms.numbers)
        else:
            yield from _of_number(f"{key} {value}", name, value)


def _of_arrays(atoms: Atoms) -> Iterator[_Statement]:
    for key, value in atoms.arrays.items():
        if speaks_of_electrons(key):
            yield from _of_atoms(f"arrays['{key}']", _plain(key), value, atoms.numbers)


def _plain(key: Any) -> str:
    return re.sub("[^a-z0-9]", "", str(key).lower())


def speaks_of_electrons(key: str) -> bool:
    """Return whether a key of ``info`` or ``arrays`` may state a charge or spin."""
    name = _plain(key)
    known = CHARGES | MULTIPLICITIES | UNPAIRED | SPINS | ATOMIC_CHARGES | ATOMIC_MOMENTS
    return name in known or bool(re.search("charge|multiplicity|spin", name))


def _of_number(words: str, name: str, value: Any) -> Iterator[_Statement]:
    """Say what a number of the whole molecule states."""
    is_known = name in CHARGES | MULTIPLICITIES | UNPAIRED | SPINS
    number = as_number(value)
    if number is None:
        if is_known:
            yield _Statement(words, problem=f"{words}: expected a whole number")
        elif _TWO_NUMBERS.fullmatch(" ".join(map(str, np.ravel(value))).strip()):
            yield _Statement(words, problem=f"{words} may be charge and multiplicity; write them as two keys")
        return
    if name in CHARGES or (not is_known and "charge" in name):
        if number.is_integer():
            yield _Statement(words, charge=int(number), is_guessed=not is_known)
        elif is_known:
            yield _Statement(words, problem=f"{words}: expected a whole number of elementary charges")
        return
    is_half = (2 * number).is_integer() and number >= 0
    if name in UNPAIRED:
        number = abs(number)  # of a moment; its direction is a convention
        found = {round(number)} if abs(number - round(number)) <= ROUNDING else set()
    elif name in MULTIPLICITIES or "multiplicity" in name:
        found = {int(number) - 1} if number.is_integer() and number >= 1 else set()
    else:
        found = {int(k) for k in (number, number - 1, 2 * number) if is_half and k >= 0 and k.is_integer()}
    if found:
        yield _Statement(words, unpaired=frozenset(found), is_guessed=not is_known)
    elif is_known:
        yield _Statement(words, problem=f"{words}: no number of unpaired electrons, or multiplicity, there can be")


def _of_atoms(words: str, name: str, values: Any, numbers: Any) -> Iterator[_Statement]:
    """Say what numbers of the atoms add up to; nuclear charges say nothing of the electrons."""
    is_charge, is_moment = name in ATOMIC_CHARGES, name in ATOMIC_MOMENTS | UNPAIRED
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not (is_charge or is_moment or "charge" in name) or np.array_equal(array, numbers):
        return
    is_guessed = not (is_charge or is_moment)
    total = float(array.sum())
    whole = round(total) if np.isfinite(total) and abs(total - round(total)) <= ROUNDING else None
    words = f"{words}, which adds up to {total:.3g}," if whole is None else f"{words}, which adds up to {whole},"
    if array.shape != np.shape(numbers) or whole is None:
        if not is_guessed and array.any():
            yield _Statement(words, problem=f"{words} must be one number for each atom, and a whole number in all")
    elif not is_moment:
        if whole or not is_guessed:
            yield _Statement(words, charge=whole, is_guessed=is_guessed)
    elif not whole and np.abs(array).max(initial=0.0) > ROUNDING:
        yield _Statement(words, problem=f"{words} has moments that cancel: states of broken symmetry are not computed")
    elif array.any():
        yield _Statement(words, unpaired=frozenset({abs(whole)}))


def as_number(value: Any) -> float | None:
    """Return a number given as such, as a numpy scalar, or as text such as '+1', '1-'; None for anything else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip())
        if match is None or (match[1] and match[3]):
            return None
        return float(match[2]) * (-1.0 if "-" in (match[1], match[3]) else 1.0)
    if isinstance(value, int | float | np.integer | np.floating):
        return float(value) if np.isfinite(value) else None
    return None
