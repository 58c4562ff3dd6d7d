"""The point group of a molecule within a tolerance, and the molecule with exactly that symmetry."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.display import Shown, html_table
from hamlearn.equality import ByValue
from hamlearn.errors import ConfigError, StructureError, check_type
from hamlearn.structures.given import Structures, as_structure
from hamlearn.structures.transforms import with_positions
from hamlearn.symmetry.characters import FINITE_SUBGROUP, CharacterTable, standard_group
from hamlearn.symmetry.classes import OperationClass, operation_classes
from hamlearn.symmetry.frames import across, fit_frame
from hamlearn.symmetry.naming import operation_symbol, schoenflies
from hamlearn.symmetry.operations import Operation, averaged, displacement, rough_group
from hamlearn.ties import with_fixed_sign
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


TOLERANCE_ANGSTROM = 0.02
_LARGEST_TRIED_ANGSTROM = 0.6
_NEARLY_ANGSTROM = 0.155
_LARGEST_GROUPS = ("Oh", "Ih", "Dinfh")
_FROM_AXIS_ANGSTROM = 1e-3  # a linear molecule has its atoms on one line to the tolerance, but at least to this


@dataclass(frozen=True, eq=False, repr=False)
class PointGroup(ByValue, Shown):
    """The symmetry of one molecule.

    Attributes:
        name: Schoenflies symbol, such as C1, C3v, D6h, Td, Ih, Cinfv, Dinfh.
        order: number of operations; inf for linear molecules.
        operations: all of them, the identity first; for linear molecules those of C14v or D14h, which is exact for
            orbitals with l <= 6.
        centre_angstrom: the point they leave where it is [3], Å.
        largest_deviation_angstrom: how far the atom that moves most moves when the molecule is symmetrised, Å.
        tolerance_angstrom: the largest such deviation that was allowed, Å.
        characters: irreps with their characters, columns in the order of ``operations``.

    Rotating the molecule turns every rotation into R g R^T; permuting its atoms permutes the permutations.
    """

    name: str
    order: float
    operations: tuple[Operation, ...]
    centre_angstrom: FloatArray
    largest_deviation_angstrom: float
    tolerance_angstrom: float
    characters: CharacterTable

    @property
    def kinds(self) -> dict[str, int]:
        """How many operations of each kind there are, such as {'E': 1, 'C3': 2, 'sigma': 3}."""
        counts = Counter(operation_symbol(operation.rotation) for operation in self.operations)
        order = sorted(
            counts, key=lambda symbol: ("ECiSs".index(symbol[0]), -int("0" + "".join(filter(str.isdigit, symbol))))
        )
        return {symbol: counts[symbol] for symbol in order}

    @property
    def classes(self) -> tuple[OperationClass, ...]:
        """Classes of operations as in character tables, such as E, 2 C6, C2, 3 C2', 3 C2'', sigma_h."""
        return operation_classes(self.rotations, self.characters)

    def shown(self) -> dict[str, object]:
        """Return name, operations and irreps in short, and how exact the symmetry is."""
        return {
            "name": self.name,
            "order": self.order,
            "operations": ", ".join(f"{n} {kind}" if n > 1 else kind for kind, n in self.kinds.items()),
            "irreps": ", ".join(self.characters.irreps),
            "centre_angstrom": self.centre_angstrom,
            "largest_deviation_angstrom": self.largest_deviation_angstrom,
            "tolerance_angstrom": self.tolerance_angstrom,
        }

    def _repr_html_(self) -> str:
        return html_table(f"Point group {self.name}", {k: v for k, v in self.shown().items() if k != "name"})

    @property
    def rotations(self) -> FloatArray:
        """All rotations [operation, 3, 3]."""
        return np.array([operation.rotation for operation in self.operations])

    @property
    def permutations(self) -> IntArray:
        """All permutations [operation, atom]."""
        return np.array([operation.permutation for operation in self.operations])


def point_group(atoms: Structures, tolerance_angstrom: float = TOLERANCE_ANGSTROM) -> PointGroup:
    """Return the point group of a molecule.

    It is the largest group found whose averaged geometry has no atom farther than the tolerance from where it is.

    Args:
        atoms: the molecule, Å, or a file with one.
        tolerance_angstrom: largest deviation, Å.

    Raises:
        StructureError: for less than two atoms, or atoms at infinite or equal positions.
        ConfigError: for a tolerance that is not positive.

    Invariant under rotation, inversion, translation and permutation of the atoms.
    """
    if not 0 < tolerance_angstrom < math.inf:
        raise ConfigError(f"the tolerance is {tolerance_angstrom} Å; expected a positive number, such as 0.02")
    atoms = as_structure(atoms)
    _check(atoms)
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    centre = atoms.positions.mean(axis=0)
    x = atoms.positions - centre
    line = with_fixed_sign(np.linalg.svd(x)[2][0])
    if np.linalg.norm(x - np.outer(x @ line, line), axis=1).max() <= max(tolerance_angstrom, _FROM_AXIS_ANGSTROM):
        name, rotations, permutations = _linear(numbers, x, line, tolerance_angstrom)
    else:
        rough = rough_group(numbers, x, tolerance_angstrom)
        name = schoenflies(rough.rotations, rough.permutations)
        standard = standard_group(name)
        frame, place = fit_frame(name, standard, rough.rotations, x, numbers)
        rotations, permutations = frame @ standard.rotations @ frame.T, rough.permutations[place]
    return PointGroup(
        name=name,
        order=math.inf if name in FINITE_SUBGROUP else len(rotations),
        operations=tuple(Operation(r, p) for r, p in zip(rotations, permutations, strict=True)),
        centre_angstrom=centre,
        largest_deviation_angstrom=displacement(x, permutations, rotations),
        tolerance_angstrom=float(tolerance_angstrom),
        characters=standard_group(name).table,
    )


def symmetrise(atoms: Structures, group: PointGroup) -> Atoms:
    """Return the molecule averaged over its group, x_k = c + (1/|G|) sum_g R_g^T (x_g(k) - c), exactly symmetric.

    Args:
        atoms: the molecule the group was found for, Å, or a file with it; any other geometry of it may be given too.
        group: its point group.

    Raises:
        StructureError: if the number of atoms is not that of the group.
        ConfigError: for a group that is none, such as its name.
    """
    check_type(group, PointGroup, "group", "a PointGroup, such as hamlearn.point_group(atoms)")
    atoms = as_structure(atoms)
    if len(atoms) != len(group.operations[0].permutation):
        raise StructureError(
            f"the molecule has {len(atoms)} atoms, the point group was found for "
            f"{len(group.operations[0].permutation)}; find the group of this molecule"
        )
    x = averaged(atoms.positions - group.centre_angstrom, group.permutations, group.rotations)
    return with_positions(atoms, x + group.centre_angstrom)


def require_group(atoms: Structures, name: str, tolerance_angstrom: float = TOLERANCE_ANGSTROM) -> PointGroup:
    """Return the point group of a molecule that is declared to have a certain one.

    Args:
        atoms: the molecule, Å, or a file with one.
        name: Schoenflies symbol it must have.
        tolerance_angstrom: largest deviation, Å.

    Raises:
        StructureError: if it has another, with its largest deviation from the declared one, Å.
    """
    standard_group(name)
    atoms = as_structure(atoms)
    found = point_group(atoms, tolerance_angstrom)
    if found.name == name:
        return found
    text = (
        f"{atoms.get_chemical_formula()} was declared {name}, but its geometry is {found.name} within "
        f"{tolerance_angstrom:g} Å"
    )
    tolerance = tolerance_angstrom
    while (tolerance := 1.5 * tolerance) <= _LARGEST_TRIED_ANGSTROM:
        wider = point_group(atoms, tolerance)
        if wider.name == name:
            deviation = wider.largest_deviation_angstrom
            raise StructureError(
                f"{text}: its largest deviation from {name} is {deviation:.3f} Å; correct the geometry, or give a "
                f"tolerance of at least {1.01 * deviation:.3f} Å"
            )
    raise StructureError(
        f"{text}; within no tolerance up to {_LARGEST_TRIED_ANGSTROM} Å is {name} its whole point group: it deviates "
        "by more, or has a larger group; correct the geometry or the group"
    )


def larger_group(atoms: Structures, group: PointGroup) -> PointGroup | None:
    """Return the next larger point group a molecule nearly has, within 0.15 Å; None if there is none.

    Args:
        atoms: the molecule, Å, or a file with one.
        group: its point group.
    """
    atoms, tolerance = as_structure(atoms), group.tolerance_angstrom
    if group.name in _LARGEST_GROUPS:
        return None
    while (tolerance := 1.5 * tolerance) <= _NEARLY_ANGSTROM:
        wider = point_group(atoms, tolerance)
        if wider.order > group.order:
            return wider
    return None


def _linear(numbers: IntArray, x: FloatArray, line: FloatArray, tolerance: float) -> tuple[str, FloatArray, IntArray]:
    """Name, rotations and permutations of a linear molecule along ``line``."""
    along = x @ line
    order = np.argsort(along)  # no ties: atoms on a line are apart
    reversed_ = np.empty_like(order)
    reversed_[order] = order[::-1]
    even = bool((numbers[reversed_] == numbers).all() and (abs(along[reversed_] + along) <= 2 * tolerance).all())
    name = "Dinfh" if even else "Cinfv"
    standard = standard_group(name).rotations
    side = across(line)
    side = side - line * (side @ line)
    side /= np.linalg.norm(side)
    frame = np.stack([side, np.cross(line, side), line], axis=1)
    identity = np.arange(len(x))
    turned = [reversed_ if rotation[2, 2] < 0 else identity for rotation in standard]
    return name, frame @ standard @ frame.T, np.array(turned)


def _check(atoms: Atoms) -> None:
    if len(atoms) < 2:
        raise StructureError(
            f"the structure has {len(atoms)} atom{'s' * (len(atoms) != 1)}; a point group needs at least two: an atom "
            "alone has all rotations"
        )
    if atoms.pbc.any():
        raise StructureError("the structure is periodic; a point group needs a molecule: set atoms.pbc = False")
    if not np.isfinite(atoms.positions).all():
        raise StructureError("coordinates are NaN or infinite; repair the structure")
    distance = atoms.get_all_distances()[~np.eye(len(atoms), dtype=bool)]
    if distance.min() < 0.1:
        raise StructureError(f"two atoms are {distance.min():.3f} Å apart; repair the structure")
