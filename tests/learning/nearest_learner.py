"""A learner of one's own: every invariant block is the mean of those of the nearest atoms or pairs."""

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.spatial import KDTree

from hamlearn import Learner, ModelSettings, register_learner
from hamlearn.learning.groups import Answers

GRID = np.linspace(0.5, 4.5, 9)  # Å


class NearestSettings(ModelSettings):
    kind: Literal["nearest"] = Field(default="nearest", description="means of the nearest atoms or pairs")
    neighbours: int = Field(default=3, ge=1, description="how many are averaged")


class NearestLearner(Learner[NearestSettings]):
    def fit(self, structures, data, job, held_out=False):
        self.remember(structures, data)
        self.known_ = {group: (self.seen(structures, group), rows) for group, rows in data.values.items()}
        return self

    def predict(self, structures, job):
        self.domain_.check(structures)
        return Answers(len(structures), {g: self.mean(g, self.seen(structures, g)) for g in self.known_})

    def mean(self, group, new):
        points, rows = self.known_[group]
        if group.irrep != (0, 1) or group.family.kind == "minus":  # turns, or changes its sign: zero is the best guess
            return np.zeros((len(new) * group.width, rows.shape[1]))
        nearest = range(1, 1 + min(self.settings.neighbours, len(rows)))
        return rows[KDTree(points).query(new, nearest)[1]].mean(axis=1)

    def seen(self, structures, group):
        """Smeared distances from an atom, or from both of a pair, to all atoms [sample, grid], and of the pair."""
        d = [atoms.get_all_distances() for atoms in structures]
        numbers = [atoms.numbers for atoms in structures]
        smeared = [z @ np.exp(-4 * (x[..., None] - GRID) ** 2) for z, x in zip(numbers, d, strict=True)]
        samples = group.family.samples(numbers)
        rows = [[*(smeared[s][i] + smeared[s][j]), 9 * d[s][i, j]] for s, i, j in samples]
        return np.reshape(rows, (len(samples), len(GRID) + 1))


def register():
    """What an entry point of the group hamlearn.learners names, or a script calls."""
    register_learner("nearest", NearestSettings, NearestLearner)
