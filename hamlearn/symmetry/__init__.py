"""Point groups of molecules: operations, irreps of orbitals and levels, group averages.

Groups are found within a tolerance in Å; labels follow Mulliken (see :mod:`hamlearn.symmetry.frames`).
"""

from __future__ import annotations

from hamlearn.symmetry.characters import CharacterTable as CharacterTable
from hamlearn.symmetry.levels import Multiplet as Multiplet
from hamlearn.symmetry.levels import irreps_of_orbitals as irreps_of_orbitals
from hamlearn.symmetry.levels import label_levels as label_levels
from hamlearn.symmetry.levels import levels_between as levels_between
from hamlearn.symmetry.operations import Operation as Operation
from hamlearn.symmetry.point_group import TOLERANCE_ANGSTROM as TOLERANCE_ANGSTROM
from hamlearn.symmetry.point_group import PointGroup as PointGroup
from hamlearn.symmetry.point_group import point_group as point_group
from hamlearn.symmetry.point_group import require_group as require_group
from hamlearn.symmetry.point_group import symmetrise as symmetrise
from hamlearn.symmetry.representations import decompose as decompose
from hamlearn.symmetry.representations import group_average as group_average
from hamlearn.symmetry.representations import projector as projector
from hamlearn.symmetry.representations import representation as representation
from hamlearn.symmetry.representations import violation as violation
