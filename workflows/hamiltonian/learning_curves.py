"""Learning curves of Hamiltonians: Wigner kernels, linear and bond-frame features side by side, with timings.

    python workflows/hamiltonian/learning_curves.py ethanol OUT [--target direct sto-3g]
        [--model wigner ridge bond_frame process] [--train 50 100 200 500 1000] [--orders 3] [--active N]
        [--no-error-bars] [--executor local:2]

Sets: ethanol (MD frames of Schütt et al. 2019, 500 test structures), qm7 (its CHNO molecules, 100 test molecules) and
water (200 test geometries), all RHF/def2-SVP, SAPH; training sets are nested and come first in a seeded permutation,
test sets come last. Targets: direct; minao and sto-3g, deltas over those guesses; minao-valence and sto-3g-valence:
deltas of valence virtuals, which are smooth where the lowest ones jump from molecule to molecule, but not canonical
levels. HAMLEARN_BENCHMARK_DATA names the folder of the sets. OUT gets qm/SET (calculations, continued if they are
there), SET.csv with a row for every fit, SET_*.npz with the errors and error bars of the test set, and the figures;
kernels are there during a fit. Finished fits are not done again. Seconds of targets after the first are without the
kernels, which all targets share.
"""

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from study import (
    SETS,
    TARGETS,
    active_of,
    add_row,
    calculate,
    done,
    environment_of,
    fit_and_test,
    inside_of,
    load,
    new_model,
    read_rows,
    set_of,
)

from hamlearn.job import Job
from hamlearn.observables import average_orders
from hamlearn.plots import error_against_std, reliability, save_figure
from hamlearn.plots.panels import new_panels
from hamlearn.plots.style import BLUE, GREEN, PURPLE, VERMILION, add_legend, log_ticks
from hamlearn.structures.splits import split, training_orders

MODELS = {"wigner": BLUE, "ridge": VERMILION, "bond_frame": GREEN, "process": PURPLE}
"""Pair kernels, features of one neighbour, features and Gaussian processes in the frames of bonds; their colours."""


def main() -> None:
    """Run what is not finished, then draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs/hamiltonian"))
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=["direct", "sto-3g"])
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--train", nargs="+", type=int, default=[50, 100, 200, 500, 1000])
    parser.add_argument("--test", type=int)
    parser.add_argument("--orders", type=int, default=1)
    parser.add_argument("--active", type=int, help="of each kind, farthest from each other; the set's own")
    parser.add_argument("--memory", type=float, default=8.0, help="GB")
    parser.add_argument("--error-bars", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--executor", default="local")
    arguments = parser.parse_args()
    chosen = set_of(arguments.set, arguments.active)
    everything = load(chosen)
    training, last = split(len(everything), chosen.train, chosen.test, 0)
    test = last[: arguments.test or chosen.test]
    sizes = sorted({min(n, len(training)) for n in arguments.train})
    largest = sizes[-1]
    orders = training_orders(training, arguments.orders, 0)
    used = list(dict.fromkeys(int(k) for k in np.concatenate([*(order[:largest] for order in orders), test])))
    atoms = [everything[k] for k in used]
    folder = arguments.out / "qm" / arguments.set
    campaign, usable = calculate(chosen, atoms, folder, arguments.executor)
    position = {used[place]: place for place in usable.tolist()}
    table = arguments.out / f"{arguments.set}.csv"
    for kind in arguments.model:
        for n in sizes:
            for order, members in enumerate(orders[:1] if n == len(training) else orders):  # all orders of all are one
                train, tests = ([position[k] for k in part.tolist() if k in position] for part in (members[:n], test))
                scratch = arguments.out / "kernels" / f"{arguments.set}_{n}_{order}"
                for target in arguments.target:  # all of them share the kernels
                    name = {"target": target, "model": kind, "n_train": n, "order": order, "n_test": len(test)}
                    name |= {"active": active_of(chosen, kind, n)}
                    if done(table, name):
                        continue
                    model = new_model(
                        chosen, target, kind, [atoms[k] for k in train], arguments.memory, arguments.error_bars
                    )
                    inside = inside_of(environment_of(chosen, kind), atoms, train, tests)
                    job = Job(print, arguments.executor, scratch, f"{len(train)} structures")
                    row, arrays = fit_and_test(campaign, atoms, train, inside, model, job)
                    stem = stem_of(arguments.set, name)
                    np.savez(arguments.out / f"{stem}.npz", test=[used[k] for k in inside], **arrays)
                    add_row(table, name | row)
                    print(stem, ", ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
                shutil.rmtree(scratch, ignore_errors=True)
    draw(table, arguments.out, arguments.set, active_of(chosen), len(test))


def stem_of(name: str, row: Mapping[str, object]) -> str:
    """Return the name of the files of a fit of a set."""
    parts = [name, *(row[key] for key in ("target", "model", "n_train", "order", "active", "n_test"))]
    return "_".join(str(part) for part in parts if part != "")


def draw(table: Path, out: Path, name: str, active: int | str, n_test: int) -> None:
    """Draw learning curves of levels and gap, and error bars of the largest Wigner model of each target.

    Drawn are errors on this number of test structures, of sparse models those with this active set.
    """
    wanted = ("", str(active))
    rows = [row for row in read_rows(table) if row["active"] in wanted and row["n_test"] == str(n_test)]
    for target in sorted({row["target"] for row in rows}):
        own = [row for row in rows if row["target"] == target]
        figure, (panels,) = new_panels(1, 2, 9.0, 3.8)
        for ax, key, label in zip(panels, ("eigenvalue_rmse_mev", "gap_rmse_mev"), ("levels", "gap"), strict=True):
            for kind, colour in MODELS.items():
                of_kind = [row for row in own if row["model"] == kind]
                if of_kind:
                    means = average_orders(of_kind, key)
                    ax.plot(*([p[x] for p in means] for x in ("n_train", "mean")), color=colour, marker="o", label=kind)
                    points = zip(*((int(row["n_train"]), float(row[key])) for row in of_kind), strict=True)
                    ax.plot(*points, color=colour, marker=".", linestyle="none", alpha=0.5)
            ax.set(xscale="log", yscale="log", xlabel="training structures", ylabel=f"RMSE of the {label} / meV")
            ticks = sorted({int(row["n_train"]) for row in own})
            ax.set_xticks(ticks, [str(n) for n in ticks])
            ax.minorticks_off()
            log_ticks(ax.yaxis, [float(row[key]) for row in own])
            add_legend(ax)
        save_figure(figure, out / f"{name}_{target}_learning_curve.png")
        largest = [row for row in own if row["model"] == "wigner"]
        if largest:
            draw_error_bars(max(largest, key=lambda row: int(row["n_train"])), out, name, target)


def draw_error_bars(row: dict[str, str], out: Path, name: str, target: str) -> None:
    """Draw errors of the gap against their error bars, and the reliability of both kinds of error bars."""
    stem = stem_of(name, row)
    with np.load(out / f"{stem}.npz") as data:
        arrays = {key: 1e3 * data[key] for key in data.files if key.endswith("_ev")}
    figure, ((left, right),) = new_panels(1, 2, 9.0, 4.0)
    error_against_std(left, arrays["gap_errors_ev"], arrays["gap_stds_ev"], "gap / meV")
    for kind, colour in (("gap", VERMILION), ("levels", GREEN)):
        reliability(right, arrays[f"{kind}_errors_ev"], arrays[f"{kind}_stds_ev"], kind, colour)
    save_figure(figure, out / f"{name}_{target}_error_bars.png")


if __name__ == "__main__":
    main()
