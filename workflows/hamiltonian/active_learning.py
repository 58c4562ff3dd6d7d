"""Active learning against random selection: ethanol, RHF/def2-SVP, levels and gap from Wigner kernels.

    python workflows/hamiltonian/active_learning.py [OUT] [--store OUT/qm] [--starts 3] [--orders 3]
                                                    [--by uncertainty farthest both] [--of levels]

A model starts from 25 random structures of a pool of 200; every round `select_structures` adds 15 of the pool by what
the model of the last round says, up to 100; errors are those of 100 other structures. Beside it stands the mean of
several random orders that begin at the same 25. HAMLEARN_BENCHMARK_DATA names the folder that holds
ethanol_4500.extxyz; calculations go to the folder STORE and are not done again. OUT gets active_learning.csv and .png;
finished sizes are not computed again.
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from study import add_row, read_rows

from hamlearn import HamiltonianModel, metrics, register_learner, select_structures
from hamlearn.config import KernelRidgeSettings, QMSettings, SaphTarget, WignerSettings
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.learning.pair_kernels import PairKernelLearner
from hamlearn.observables import average_orders, reference_prediction
from hamlearn.plots import save_figure
from hamlearn.plots.panels import new_panels
from hamlearn.plots.style import BLUE, GREEN, GREY, VERMILION, add_legend, log_ticks
from hamlearn.qm import run_campaign
from hamlearn.structures import read_structures, split
from hamlearn.targets import build_target
from hamlearn.testing.benchmark_data import benchmark_file

N_POOL, N_TEST = 200, 100
SIZES = (25, 40, 55, 70, 85, 100)
WIGNER = WignerSettings(smearing_angstrom=0.2, smearing_growth_angstrom=3.0)
COLOURS = {"random": (GREY, "s"), "uncertainty": (VERMILION, "^"), "farthest": (GREEN, "D"), "both": (BLUE, "o")}
PANELS = {
    "eigenvalue_rmse_mev": "levels, RMSE",
    "gap_rmse_mev": "gap, RMSE",
    "worst_eigenvalue_mev": "levels, 95 % of molecules are below",
    "worst_gap_mev": "gap, 95 % of molecules are below",
}


class PoolKernel(BlockKernel):
    """Kernels between a fixed set of ethanols, computed once: all fits and predictions of this script look them up.

    Densities are those of the whole pool, which needs no calculation, for every training set taken from it.
    """

    def __init__(self, settings: WignerSettings, pool: list, test: list) -> None:
        super().__init__(settings)
        super().fit(pool)
        self._rows = self.centres([*pool, *test])
        self._columns, self._others = (
            self._rows.part(*part)[0] for part in ((0, len(pool)), (len(pool), len(pool) + len(test)))
        )
        self._known: dict = {}

    def fit(self, structures: list) -> BlockKernel:
        """Leave the densities as they are."""
        return self

    def between(self, a: Centres, b: Centres, wanted: dict) -> dict:
        """Return the kernels of structures of the set."""
        new = {f: [i for i in irreps if (f, i) not in self._known] for f, irreps in wanted.items()}
        if any(new.values()):
            pool = super().between(self._columns, self._columns, new)
            others = super().between(self._others, self._columns, new)
            self._known |= {name: np.concatenate([k, others[name]]) for name, k in pool.items()}
        rows, columns = self._structures(a), self._structures(b)
        out = {}
        for family, irreps in wanted.items():
            per_structure = self._rows.count(family) // self._rows.n_structures
            at, to = ((x[:, None] * per_structure + np.arange(per_structure)).ravel() for x in (rows, columns))
            for irrep in irreps:
                out[family, irrep] = self._known[family, irrep][at][:, :, to]
        return out

    def _structures(self, centres: Centres) -> NDArray[np.int64]:
        """Return which structures of the set these are, told by the density of their one oxygen."""
        distances = cdist(centres.densities[8].flatten(1), self._rows.densities[8].flatten(1))
        return distances.argmin(axis=1)


class PoolSettings(KernelRidgeSettings):
    """Kernel regression whose kernels are looked up in a table."""

    kind: Literal["pool"] = "pool"


def learner_with(kernel: PoolKernel) -> type[PairKernelLearner]:
    """Return the class of learners that look their kernels up in this one."""

    class PoolLearner(PairKernelLearner):
        def new_kernel(self, settings: WignerSettings) -> BlockKernel:
            return kernel

    return PoolLearner


class Study:
    """Pool and test set with their Hamiltonians, and fits on parts of the pool."""

    def __init__(self, store: Path, of: str) -> None:
        structures = read_structures(benchmark_file("ethanol_4500.extxyz"))
        train, test = split(len(structures), 1000, 500, 0)
        chosen = [structures[k] for k in [*test[:N_TEST], *train[:N_POOL]]]
        campaign = run_campaign(chosen, QMSettings(), store, guess_focks=("minao",), executor="local", echo=print)
        targets = [build_target(campaign.load(k), SaphTarget()) for k in range(len(chosen))]
        self.test, self.pool = chosen[:N_TEST], chosen[N_TEST:]
        self.targets, self.of = targets[N_TEST:], of
        self.references = [reference_prediction(target) for target in targets[:N_TEST]]
        register_learner("pool", PoolSettings, learner_with(PoolKernel(WIGNER, self.pool, self.test)))

    def fit(self, members: Sequence[int], error_bars: bool) -> HamiltonianModel:
        """Fit on some of the pool."""
        model = HamiltonianModel(model=PoolSettings(kernel=WIGNER, error_bars=error_bars))
        return model.fit([self.pool[k] for k in members], [self.targets[k] for k in members])

    def grown(self, model: HamiltonianModel, members: Sequence[int], by: str, size: int) -> list[int]:
        """Return a larger training set, chosen by what a model of the smaller one says."""
        rest = [k for k in range(N_POOL) if k not in members]
        new = select_structures(model, [self.pool[k] for k in rest], size - len(members), by=by, of=self.of)
        return [*members, *(rest[k] for k in new)]

    def errors(self, model: HamiltonianModel) -> dict[str, float]:
        """Return errors on the test set, meV."""
        predictions = model.predict(self.test)
        pairs = list(zip(predictions, self.references, strict=True))
        levels = [np.sqrt(np.mean((p.eigenvalues_ev - r.eigenvalues_ev) ** 2)) for p, r in pairs]
        gaps = [abs(p.gap_ev - r.gap_ev) for p, r in pairs]
        found = metrics(predictions, self.references)
        return {
            **{key: found[key] for key in ("eigenvalue_rmse_mev", "gap_rmse_mev")},
            "worst_eigenvalue_mev": 1e3 * float(np.quantile(levels, 0.95)),
            "worst_gap_mev": 1e3 * float(np.quantile(gaps, 0.95)),
        }


def curve(study: Study, by: str, start: int, order: int, table: Path, rows: list[dict[str, str]]) -> None:
    """Follow one training set as it grows, from where the table ends."""
    rng = np.random.default_rng([start, order])
    first = np.random.default_rng(start).permutation(N_POOL)[: SIZES[0]]
    at_random = [*first, *rng.permutation(np.setdiff1d(np.arange(N_POOL), first))]
    members, model = [int(k) for k in first], None
    for size in SIZES:
        name = {"by": by, "of": study.of, "start": str(start), "order": str(order), "n_train": str(size)}
        known = next((row for row in rows if name.items() <= row.items()), None)
        if known:
            members, model = [int(k) for k in known["members"].split()], None
            continue
        if by == "random":
            members = [int(k) for k in at_random[:size]]
        elif size > len(members):
            members = study.grown(model or study.fit(members, True), members, by, size)
        model = study.fit(members, by != "random")
        found = {key: f"{value:.5g}" for key, value in study.errors(model).items()}
        rows.append({**name, **found, "members": " ".join(map(str, members))})
        print(", ".join(f"{key} {value}" for key, value in {**name, **found}.items()), flush=True)
        add_row(table, rows[-1])


def draw(path: Path, rows: list[dict[str, str]]) -> None:
    """Draw errors against training size, mean over starts and orders, with the spread of random orders."""
    figure, panels = new_panels(2, 2, 9.0, 7.0)
    for ax, (key, title) in zip(itertools.chain(*panels), PANELS.items(), strict=True):
        for by, (colour, marker) in COLOURS.items():
            own = [{**row, "n_train": int(row["n_train"])} for row in rows if row["by"] == by]
            points = average_orders(own, key)
            if not points:
                continue
            sizes, means, spread = (np.array([p[name] for p in points]) for name in ("n_train", "mean", "std"))
            ax.plot(sizes, means, color=colour, marker=marker, markersize=5.5, linewidth=2, label=by)
            if by == "random":
                ax.fill_between(sizes, means - spread, means + spread, color=colour, alpha=0.2, linewidth=0)
        ax.set(yscale="log", title=title, xticks=SIZES)
        log_ticks(ax.yaxis, [float(row[key]) for row in rows])
    for ax in panels[1]:
        ax.set(xlabel="training structures")
    for ax, _ in panels:
        ax.set(ylabel="error on the test set / meV")
    add_legend(panels[0][0], loc="upper right")
    save_figure(figure, path)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/active_learning"))
    parser.add_argument("--store", type=Path)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--by", nargs="*", default=["uncertainty", "farthest", "both"])
    parser.add_argument("--of", default="levels", choices=("gap", "levels"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    table = given.out / "active_learning.csv"
    rows = read_rows(table)
    study = Study(given.store or given.out / "qm", given.of)
    for start in range(given.starts):
        for by, order in [("random", k) for k in range(given.orders)] + [(by, 0) for by in given.by]:
            curve(study, by, start, order, table, rows)
            draw(given.out / "active_learning.png", [row for row in rows if row["of"] == given.of])


if __name__ == "__main__":
    main()
