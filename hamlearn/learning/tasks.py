"""What is learned, as rows of groups, and how answers become matrices or properties again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import BlockCovariance, BlockKey, Blocks, assemble_matrices, split_matrices
from hamlearn.blocks.assembly import Assembly
from hamlearn.blocks.keys import block_keys, families
from hamlearn.config import PropertyTarget
from hamlearn.learning.data import Data
from hamlearn.learning.groups import Answers, Group
from hamlearn.structures.charges import NEUTRAL_SINGLET, ElectronicState
from hamlearn.structures.families import Family, numbers_of
from hamlearn.targets.composition import Baseline, baseline_kind
from hamlearn.targets.labels import Labels
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

Assemblies: TypeAlias = dict[tuple[bytes, tuple[Group, ...]], Assembly]
"""By atomic numbers and groups of answers."""

MOST_ATOMS, MOST_ASSEMBLIES = 30, 64
"""Molecules alone up to this size, of as many compositions, have the map from blocks to the matrix kept."""


@dataclass
class MatrixTask:
    """The blocks of matrices: the identity functional on samples of atoms and pairs.

    Attributes:
        orbitals: shells and order of every species.
        keys: blocks of every group that has samples, in the order of its targets.
        calibration: factors of the standard deviations of levels and gap.
        electrons: charge and multiplicity of the molecules.
    """

    orbitals: Orbitals
    keys: dict[Group, list[BlockKey]] = field(default_factory=dict)
    calibration: tuple[float, float] = (1.0, 1.0)
    electrons: ElectronicState = NEUTRAL_SINGLET
    _assemblies: Assemblies = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def n_targets(self) -> dict[Group, int]:
        """Number of targets of every group."""
        return {group: len(keys) for group, keys in self.keys.items()}

    def encode(self, matrices: Sequence[FloatArray], numbers: Sequence[IntArray]) -> Data:
        """Return the blocks of matrices as rows (sample, M).

        Args:
            matrices: [ao, ao] or [channel, ao, ao] of every structure, Hartree, PySCF's order.
            numbers: atomic numbers of every structure.

        Turning, inverting or permuting a structure with its matrix turns and permutes the rows.
        """
        blocks = split_matrices(matrices, numbers, self.orbitals)
        self.keys = by_group([key for key in blocks.values if len(blocks.samples[key.family])])
        self._assemblies.clear()
        values, owner = {}, {}
        for group, keys in self.keys.items():
            values[group] = np.stack([blocks.values[key].reshape(-1) for key in keys], axis=1)
            owner[group] = np.repeat(blocks.samples[group.family][:, 0], group.width)
        often = {g: np.array([key.multiplicity for key in keys], float) for g, keys in self.keys.items()}
        return Data(values, owner, len(numbers), multiplicities=often)

    def decode(self, answers: Answers, numbers: Sequence[IntArray]) -> Blocks:
        """Return the blocks of answers, with the samples of all families of the structures, also those without any."""
        values = {}
        for group, rows in answers.values().items():
            for column, key in enumerate(self.keys[group]):
                values[key] = rows[:, column].reshape(-1, group.width)
        return Blocks(_samples(numbers), values)

    def matrices(self, answers: Answers, numbers: Sequence[IntArray]) -> list[FloatArray]:
        """Return the matrices of answers, see :func:`hamlearn.blocks.assemble_matrices`."""
        if len(numbers) != 1 or len(numbers[0]) > MOST_ATOMS:
            return assemble_matrices(self.decode(answers, numbers), numbers, self.orbitals)
        found = answers.values()
        groups = [group for group in self.keys if group in found]
        name = np.asarray(numbers[0], dtype=np.int64).tobytes(), tuple(groups)
        if name not in self._assemblies:
            if len(self._assemblies) >= MOST_ASSEMBLIES:
                self._assemblies.clear()
            columns = [self.keys[group] for group in groups]
            self._assemblies[name] = Assembly.of(np.frombuffer(name[0], dtype=np.int64), columns, self.orbitals)
        return [self._assemblies[name](np.concatenate([np.zeros(0), *(found[group].ravel() for group in groups)]))]

    def decode_covariances(self, answers: Answers, numbers: Sequence[IntArray]) -> list[BlockCovariance]:
        """Return the covariance of the blocks of every structure."""
        out = []
        for z, known in zip(numbers, answers.covariances, strict=True):
            values = {key: v for group, c in known.items() for key, v in zip(self.keys[group], c, strict=True)}
            out.append(BlockCovariance(_samples([z]), values))
        return out

    def state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        groups = [
            {
                "kind": group.family.kind,
                "species": [group.family.species_i, group.family.species_j],
                "L": group.L,
                "sigma": group.sigma,
                "shells": [[list(key.shell_a), list(key.shell_b)] for key in keys],
                "channels": [key.channel for key in keys],
            }
            for group, keys in self.keys.items()
        ]
        return {
            "orbitals": self.orbitals.to_dict(),
            "groups": groups,
            "calibration": list(self.calibration),
            "electrons": asdict(self.electrons),
        }

    @classmethod
    def from_state(cls, target: Any, state: Mapping[str, Any]) -> MatrixTask:
        """Return the task whose :meth:`state` this is."""
        levels, gap = map(float, state["calibration"])
        electrons = ElectronicState(**state.get("electrons", {}))  # absent from older folders: neutral singlets
        out = cls(Orbitals.from_dict(state["orbitals"]), calibration=(levels, gap), electrons=electrons)
        for entry in state["groups"]:
            group = Group((Family(entry["kind"], *entry["species"]),), entry["L"], entry["sigma"])
            channels = entry.get("channels", [0] * len(entry["shells"]))  # absent from older folders
            out.keys[group] = [
                BlockKey.of(group.family, (a[0], a[1]), (b[0], b[1]), group.L, channel)
                for (a, b), channel in zip(entry["shells"], channels, strict=True)
            ]
        return out


@dataclass
class PropertyTask:
    """A property: a sum over the samples of all atoms, without its baseline and in units of its spread.

    Attributes:
        target: which property.
        baseline: what is subtracted, and added to every prediction.
        scale: unit of the rows, in the unit of the property.
        group: the one group, of all elements of the training set.
    """

    target: PropertyTarget
    baseline: Baseline = field(init=False)
    scale: float = field(init=False, default=1.0)
    group: Group = field(init=False)

    @property
    def n_targets(self) -> dict[Group, int]:
        """Number of targets of every group."""
        return {self.group: 1}

    def encode(self, structures: Sequence[Atoms], labels: Labels) -> Data:
        """Return labels of structures, or of sums of them, as rows (datum, M); gradients are minus the forces."""
        functional = labels.functional
        self.baseline = Baseline(baseline_kind(self.target)).fit(structures, labels.values[:, 0], functional)
        values, known = labels.values.copy(), self.baseline.values(structures)
        values[:, 0] -= known if functional is None else functional @ known
        centre = values.mean() if self.target.irrep == (0, 1) and functional is None else 0.0
        spread = float(np.sqrt(np.mean((values - centre) ** 2)))
        self.scale = spread if spread > 1e-12 * np.abs(labels.values).max(initial=0.0) else 1.0
        self.group = sum_group(np.concatenate(numbers_of(structures)), self.target)
        gradients, variances = None, (1.0, 1.0)
        if labels.forces is not None:
            gradients = -labels.forces / self.scale
            slope = float(np.mean(gradients**2)) or 1.0
            variances = 1.0 / self.target.energy_weight, slope / self.target.force_weight  # spreads over weights
        owner = {self.group: np.repeat(np.arange(len(values)), self.group.width)}
        rows = {self.group: (values / self.scale).reshape(-1, 1)}
        return Data(rows, owner, len(values), gradients, variances, functional=functional)

    def decode(self, answers: Answers, structures: Sequence[Atoms]) -> FloatArray:
        """Return the property with its baseline [structure, 2L+1]."""
        values = self.scale * answers.values()[self.group].reshape(len(structures), -1)
        values[:, 0] += self.baseline.values(structures)
        return values

    def decode_stds(self, answers: Answers) -> list[float]:
        """Return the standard deviation of every structure; of tensors the root mean square over components."""
        found = (covariance[self.group][0] for covariance in answers.covariances)
        return [self.scale * float(np.sqrt(np.diagonal(matrix).clip(min=0.0).mean())) for matrix in found]

    def state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "baseline": {"kind": self.baseline.kind, "coefficients": dict(self.baseline.coefficients_)},
            "scale": self.scale,
            "elements": [family.species_i for family in self.group.families],
        }

    @classmethod
    def from_state(cls, target: Any, state: Mapping[str, Any]) -> PropertyTask:
        """Return the task whose :meth:`state` this is."""
        out = cls(target)
        out.baseline = Baseline(state["baseline"]["kind"], dict(state["baseline"]["coefficients"]))
        out.scale = float(state["scale"])
        out.group = sum_group(state["elements"], target)
        return out


def sum_group(species: Iterable[int], target: PropertyTarget) -> Group:
    """Return the group of a property of structures made of some elements."""
    known = sorted({int(z) for z in species})
    return Group(tuple(Family("on_site", z, z) for z in known), *target.irrep, is_sum=True)


def by_group(keys: Sequence[BlockKey]) -> dict[Group, list[BlockKey]]:
    """Return blocks by the rows they need, sorted."""
    out: dict[Group, list[BlockKey]] = {}
    for key in sorted(keys):
        out.setdefault(Group((key.family,), key.L, key.sigma), []).append(key)
    return out


def targets_of(orbitals: Orbitals) -> dict[Group, int]:
    """Return how many blocks of every group molecules of these elements may have."""
    return {group: len(keys) for group, keys in by_group(block_keys(orbitals)).items()}


def _samples(numbers: Sequence[IntArray]) -> dict[Family, IntArray]:
    species = sorted({int(z) for zs in numbers for z in zs})
    if len(numbers) > 1:
        return {family: family.samples(numbers) for family in families(species)}
    return dict(_samples_of_one(np.asarray(numbers[0], dtype=np.int64).tobytes()) if len(numbers) else {})


@lru_cache(maxsize=64)
def _samples_of_one(numbers: bytes) -> dict[Family, IntArray]:
    """Return the samples of one molecule, made once for those of one composition."""
    own = np.frombuffer(numbers, dtype=np.int64)
    return {family: family.samples([own]) for family in families(sorted(set(own.tolist())))}
