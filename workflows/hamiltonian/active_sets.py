"""How many pairs a sparse model must hold, and which: errors of blocks of ethanol against the size of the active set.

    python workflows/hamiltonian/active_sets.py [OUT] [--train 180] [--test 60]

Blocks of L = 0 of C-H, H-H and O-H pairs (delta over the guess minao), learned on all pairs of TRAIN frames in a basis
of a sixth, a third or all of them: drawn at random, all pairs of structures drawn at random (means of three draws), or
farthest points in the metric of the kernel. OUT gets qm/ethanol (calculations, shared with learning_curves.py) and
active_sets.csv: root mean square errors of the blocks of TEST other frames in meV, with the regularisation, of three,
that serves them best.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from learning_curves import GUESS, SETS, TARGETS, add_row, load
from numpy.typing import NDArray

from hamlearn import QMSettings
from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import split_matrices
from hamlearn.kernels import BlockKernel
from hamlearn.models import farthest_points, solve_sparse
from hamlearn.models.active_samples import family_name
from hamlearn.models.block_groups import group_blocks
from hamlearn.qm import run_campaign
from hamlearn.structures.samples import Family
from hamlearn.structures.splits import split
from hamlearn.targets import build_target
from hamlearn.units import HARTREE_MEV

FAMILIES = (Family("cross", 1, 6), Family("plus", 1, 1), Family("cross", 1, 8))
FRACTIONS = (6, 3)
ALPHAS = (1e-8, 1e-7, 1e-6)
DRAWS = 3


def main() -> None:
    """Compute kernels of all pairs once, then try the active sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs/hamiltonian"))
    parser.add_argument("--train", type=int, default=180)
    parser.add_argument("--test", type=int, default=60)
    arguments = parser.parse_args()
    chosen, n = SETS["ethanol"], arguments.train
    everything = load(chosen)
    training, last = split(len(everything), chosen.train, chosen.test, 0)
    atoms = [everything[k] for k in (*training[:n], *last[: arguments.test])]
    campaign = run_campaign(atoms, QMSettings(), arguments.out / "qm" / "ethanol", guess_focks=GUESS, echo=print)
    targets = [build_target(campaign.load(k), TARGETS["delta"]) for k in range(len(atoms))]
    orbitals = Orbitals.merge(target.orbitals for target in targets)
    blocks = split_matrices([target.matrix for target in targets], [a.numbers for a in atoms], orbitals)
    groups = {group.family: keys for group, keys in group_blocks(blocks).items() if (group.L, group.sigma) == (0, 1)}
    kernel = BlockKernel(chosen.wigner).fit(atoms[:n])
    centres = kernel.centres(atoms)
    table = arguments.out / "active_sets.csv"
    for family in FAMILIES:
        k = kernel.between(centres, centres, {family: [(0, 1)]})[family, (0, 1)][:, 0, :, 0]
        y = np.stack([blocks.values[key].reshape(-1) for key in groups[family]], axis=1)
        for row in errors_of(k, y, centres.owners(family), n):
            add_row(table, {"pairs": family_name(family), **row})
            print(f"{family_name(family)}: {', '.join(f'{key} {value}' for key, value in row.items())}", flush=True)


def errors_of(
    k: NDArray[np.float64], y: NDArray[np.float64], owner: NDArray[np.int64], n: int
) -> list[dict[str, object]]:
    """Return the errors of all active sets of one family; the first n structures are the training set."""
    train, test = np.flatnonzero(owner < n), np.flatnonzero(owner >= n)
    y = y - y[train].mean(axis=0)
    unit = np.trace(k) / len(k)

    def error(active: NDArray[np.int64]) -> float:
        k_mm, k_nm, k_test = (k[np.ix_(rows, active)] for rows in (active, train, test))
        solutions = (solve_sparse(k_mm, k_nm, y[train], alpha * unit) for alpha in ALPHAS)
        return min(HARTREE_MEV * np.sqrt(((k_test @ x - y[test]) ** 2).mean()) for x in solutions)

    random = np.random.default_rng(0)
    rows = [{"active": len(train), "choice": "all", "rmse_mev": error(train)}]
    for fraction in FRACTIONS:
        n_structures, m = n // fraction, len(train) // fraction
        choices: dict[str, Callable[[], NDArray[np.int64]]] = {
            "random": lambda m=m: np.sort(random.permutation(train)[:m]),
            "structures": lambda s=n_structures: train[np.isin(owner[train], random.permutation(n)[:s])],
            "farthest": lambda m=m: np.sort(farthest_points(k[: len(train), : len(train)], m, first=0)[0]),
        }
        for choice, draw in choices.items():
            errors = [error(draw()) for _ in range(1 if choice == "farthest" else DRAWS)]
            rows.append({"active": m, "choice": choice, "rmse_mev": float(np.mean(errors))})
    return rows


if __name__ == "__main__":
    main()
