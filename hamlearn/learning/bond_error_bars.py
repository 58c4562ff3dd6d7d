"""Answers of fitted problems with covariances, put together in the laboratory structure by structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hamlearn.features.bond_frame import BondFrame
from hamlearn.features.bond_rows import BondTile
from hamlearn.learning.bond_problems import Problem
from hamlearn.learning.groups import Answers, Group
from hamlearn.regression.posterior import Posterior
from hamlearn.types import FloatArray, IntArray


class LaboratorySums:
    """Blocks of some structures and their covariances, to which every problem adds its |M|.

    Components of different |M| are independent, so that V = sum_M T_M V_M T_M^T with T_M from the frames of all pairs
    of a structure to the laboratory.

    Args:
        numbers: atomic numbers of the structures.
        n_targets: of every group.
    """

    def __init__(self, numbers: Sequence[IntArray], n_targets: Mapping[Group, int]) -> None:
        self._n_targets = n_targets
        self._counts = {g: np.array([g.n_rows(z) // g.width for z in numbers], dtype=np.int64) for g in n_targets}
        self._first = {group: np.cumsum(n) - n for group, n in self._counts.items()}
        self._values = {g: np.zeros((int(self._counts[g].sum()), g.width, n)) for g, n in n_targets.items()}
        self._covariances = {
            group: [np.zeros((n, k * group.width, k * group.width)) for k in counts]
            for (group, n), counts in zip(n_targets.items(), self._counts.values(), strict=True)
        }

    def add(
        self,
        frame: BondFrame,
        tile: BondTile,
        start: int,
        problem: Problem,
        fit: tuple[FloatArray, Posterior],
    ) -> None:
        """Add what a problem says of a tile of structures.

        Args:
            frame: fitted.
            tile: of structures.
            start: position of its first structure.
            problem: what was fitted.
            fit: weights [feature, target], and the posterior.
        """
        if not problem.is_seen(frame):
            return
        x, owner, sample = problem.features(frame, tile), problem.owner(tile), problem.samples(tile)
        weights, posterior = fit
        flat = x.flatten(0, 1).numpy()
        values = (flat @ weights).reshape(*x.shape[:2], weights.shape[1])
        sizes = (problem.width * np.bincount(owner, minlength=tile.samples.n_structures)).tolist()
        known = posterior.covariances(flat, sizes)
        stop = 0
        for group in problem.groups:
            own = slice(stop, stop := stop + self._n_targets[group])
            turns = problem.turns(tile, group).numpy()  # [sample, 2L+1, part]
            place = self._first[group][start] + sample
            self._values[group][place] += np.einsum("nap,npt->nat", turns, values[:, :, own])
            for structure, covariance in enumerate(known):
                if sizes[structure]:
                    chosen = owner == structure
                    local = place[chosen] - self._first[group][start + structure]
                    self._turn(group, start + structure, covariance[own], turns[chosen], local)

    def add_to(self, answers: Answers, offsets: Mapping[Group, FloatArray], start: int = 0) -> Answers:
        """Add everything, with what was subtracted before the fit, to answers and return these.

        Args:
            answers: of these structures and others.
            offsets: of every group [target].
            start: position of the first structure among those of the answers.
        """
        for group, values in self._values.items():
            rows = values.reshape(-1, values.shape[2]) + offsets[group]
            answers.add(group, rows, self._covariances[group], start)
        return answers

    def _turn(self, group: Group, structure: int, covariance: FloatArray, turns: FloatArray, local: IntArray) -> None:
        """Add the covariance of the samples of a structure in their frames [target, row, row], turned."""
        n, width, parts = turns.shape
        own = covariance.reshape(len(covariance), n, parts, n, parts)
        turned = np.einsum("nap,tnpmq,mbq->tnamb", turns, own, turns, optimize=True)
        rows = (local[:, None] * width + np.arange(width)).ravel()
        block = turned.reshape(len(covariance), len(rows), len(rows))
        self._covariances[group][structure][np.ix_(np.arange(len(covariance)), rows, rows)] += block
