"""How many samples a sparse model must hold, and which: errors of blocks, and what their kernels cost.

    python workflows/hamiltonian/active_sets.py {ethanol,qm7,water} [OUT] [--target sto-3g]
        [--samples H-C H-H H-O] [--train 180] [--test 60]

Scalar blocks (L = 0) of some kinds of atoms or pairs, learned on all samples of TRAIN structures in a basis of a sixth,
a third or all of them: single ones drawn at random, all of structures drawn at random (means of three draws), or
farthest ones. OUT gets qm/SET (calculations, shared with learning_curves.py) and active_sets.csv: root mean square
errors of the blocks of TEST other structures in meV, with the regularisation, of three, that serves them best, and the
time of the kernels of one structure with the basis. Finished kinds are not computed again.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from study import SETS, TARGETS, add_row, calculate, done, load

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import split_matrices
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.learning.active import choose_active
from hamlearn.learning.groups import family_name
from hamlearn.learning.tasks import by_group
from hamlearn.regression.sparse import SparseProblem
from hamlearn.structures.families import Family
from hamlearn.structures.splits import split
from hamlearn.targets import build_target
from hamlearn.units import HARTREE_MEV

IntArray = NDArray[np.int64]
SCALAR = (0, 1)
FRACTIONS = (6, 3)
ALPHAS = (1e-8, 1e-7, 1e-6)
DRAWS = 3
TIMED = 4  # structures


def main() -> None:
    """Compute kernels of all pairs once, then try the active sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs/hamiltonian"))
    parser.add_argument("--target", choices=TARGETS, default="sto-3g")
    parser.add_argument("--samples", nargs="+", default=["H-C", "H-H", "H-O"], help="lighter element first")
    parser.add_argument("--train", type=int, default=180)
    parser.add_argument("--test", type=int, default=60)
    arguments = parser.parse_args()
    chosen, table = SETS[arguments.set], arguments.out / "active_sets.csv"
    everything = load(chosen)
    training, last = split(len(everything), chosen.train, chosen.test, 0)
    atoms = [everything[k] for k in (*training[: arguments.train], *last[: arguments.test])]
    campaign, usable = calculate(chosen, atoms, arguments.out / "qm" / arguments.set)
    n, atoms = int((usable < arguments.train).sum()), [atoms[k] for k in usable]
    targets = [build_target(campaign.load(k), TARGETS[arguments.target]) for k in usable.tolist()]
    orbitals = Orbitals.merge(target.orbitals for target in targets)
    blocks = split_matrices([target.matrix for target in targets], [a.numbers for a in atoms], orbitals)
    scalar = {g.family: keys for g, keys in by_group(list(blocks.values)).items() if (g.L, g.sigma) == SCALAR}
    families = {family_name(family): family for family in scalar if family.kind != "minus"}
    kernel = BlockKernel(chosen.wigner).fit(atoms[:n])
    for kind in arguments.samples:
        if kind not in families:
            raise SystemExit(f"the structures have no samples {kind}; expected some of {', '.join(families)}")
        family, name = families[kind], {"set": arguments.set, "target": arguments.target, "samples": kind}
        name |= {"n_train": n, "n_test": len(atoms) - n}
        if done(table, name | {"choice": "all"}):
            continue
        y = np.stack([blocks.values[key].reshape(-1) for key in scalar[family]], axis=1)
        for row in list(rows_of(kernel, family, kernel.centres(atoms), y, n)):  # a kind is there as a whole
            add_row(table, name | row)
            print(", ".join(f"{key} {value}" for key, value in (name | row).items()), flush=True)


def rows_of(
    kernel: BlockKernel, family: Family, centres: Centres, y: NDArray[np.float64], n: int
) -> Iterator[dict[str, object]]:
    """Yield errors and times of all active sets of a family, all pairs last; the first n structures train."""
    k = kernel.between(centres, centres, {family: [SCALAR]})[family, SCALAR][:, 0, :, 0]
    own, owner = centres.part(0, n)[0], centres.owners(family)
    train, test, unit = np.flatnonzero(owner < n), np.flatnonzero(owner >= n), np.trace(k) / len(k)

    def error(active: IntArray) -> float:
        k_mm, k_nm, k_test = (k[np.ix_(rows, active)] for rows in (active, train, test))
        problem = SparseProblem(k_mm, y.shape[1])
        problem.add(k_nm, y[train])
        solutions = (problem.weights(alpha * unit) for alpha in ALPHAS)
        return min(HARTREE_MEV * np.sqrt(((k_test @ x - y[test]) ** 2).mean()) for x in solutions)

    def seconds(active: IntArray) -> float:
        start = time.process_time()
        kernel.between(centres.part(0, TIMED)[0], own.select({family: active}), {family: [SCALAR]})
        return (time.process_time() - start) / TIMED

    random = np.random.default_rng(0)
    for fraction in FRACTIONS:
        m = len(train) // fraction
        choices: dict[str, Callable[[], IntArray]] = {
            "random": lambda m=m: np.sort(random.permutation(train)[:m]),
            "structures": lambda m=m: np.sort(np.argsort(random.permutation(n)[owner[train]], kind="stable")[:m]),
            "farthest": lambda m=m: choose_active(kernel, own, {family_name(family): m})[1][family],
        }
        for choice, draw in choices.items():
            drawn = [draw() for _ in range(1 if choice == "farthest" else DRAWS)]
            found = {"rmse_mev": float(np.mean([error(active) for active in drawn])), "seconds": seconds(drawn[0])}
            yield {"active": m, "choice": choice, **found}
    yield {"active": len(train), "choice": "all", "rmse_mev": error(train), "seconds": seconds(train)}


if __name__ == "__main__":
    main()
