"""Small molecules of QM7 predict larger ones: errors and error bars of models trained on fewer heavy atoms.

    python workflows/hamiltonian/size_extrapolation.py [OUT] [--target sto-3g] [--six 300] [--active N]

Three models of the CHNO molecules of QM7 (RHF/def2-SVP, SAPH): trained on at most 4 heavy atoms and tested on 5; on at
most 5 (214 molecules), tested on 6; on these and SIX seeded molecules of 6, tested on those of 7 among the test set of
learning_curves.py. OUT gets qm/qm7 (calculations, shared with that script), qm7_size.csv with errors, mean error bars
and coverage by model, and the figure. Finished models are not fitted again.
"""

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from study import (
    TARGETS,
    active_of,
    add_row,
    calculate,
    done,
    fit_and_test,
    inside_of,
    load,
    new_model,
    read_rows,
    set_of,
)

from hamlearn.job import Job
from hamlearn.plots import error_against_std, save_figure
from hamlearn.plots.panels import new_panels
from hamlearn.plots.style import BLUE, GREEN, VERMILION, add_legend
from hamlearn.structures.splits import split

SIZES = (4, 5, 6)  # heavy atoms of the largest training molecules of the three models


def main() -> None:
    """Run what is not finished, then draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs/hamiltonian"))
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=["sto-3g"])
    parser.add_argument("--six", type=int, default=300)
    parser.add_argument("--active", type=int, help="of each kind, farthest from each other")
    parser.add_argument("--memory", type=float, default=8.0, help="GB")
    parser.add_argument("--executor", default="local")
    arguments = parser.parse_args()
    chosen = set_of("qm7", arguments.active)
    everything = load(chosen)
    heavy = np.array([int((a.numbers > 1).sum()) for a in everything])
    of_last_size = np.random.default_rng(0).permutation(np.flatnonzero(heavy == SIZES[-1]))[: arguments.six]
    last = split(len(everything), chosen.train, chosen.test, 0)[1]
    larger = last[heavy[last] == SIZES[-1] + 1]
    used = [*np.flatnonzero(heavy < SIZES[-1]).tolist(), *of_last_size.tolist(), *larger.tolist()]
    atoms, size = [everything[k] for k in used], heavy[used]
    folder = arguments.out / "qm" / "qm7"
    campaign, usable = calculate(chosen, atoms, folder, arguments.executor)
    table = arguments.out / "qm7_size.csv"
    for largest in SIZES:
        train = usable[size[usable] <= largest].tolist()
        test = inside_of(chosen.wigner, atoms, train, usable[size[usable] == largest + 1].tolist())
        scratch = arguments.out / "kernels" / f"qm7_size_{largest}"
        for target in arguments.target:  # all of them share the kernels
            name = {"target": target, "largest": largest, "n_train": len(train), "n_test": len(test)}
            name |= {"active": active_of(chosen, n=len(train))}
            if done(table, name):
                continue
            model = new_model(chosen, target, "wigner", [atoms[k] for k in train], arguments.memory)
            job = Job(print, arguments.executor, scratch, f"{len(train)} structures")
            row, arrays = fit_and_test(campaign, atoms, train, test, model, job)
            row["gap_mean_std_mev"] = float(1e3 * arrays["gap_stds_ev"].mean())
            np.savez(arguments.out / f"{stem_of(name)}.npz", **arrays)
            add_row(table, name | row)
            print(", ".join(f"{key} {value}" for key, value in (name | row).items()), flush=True)
        shutil.rmtree(scratch, ignore_errors=True)
    for target in arguments.target:
        draw(table, arguments.out, target, active_of(chosen))


def stem_of(row: Mapping[str, object]) -> str:
    """Return the name of the file of a model."""
    parts = ["qm7_size", *(row[key] for key in ("target", "largest", "n_train", "active"))]
    return "_".join(str(part) for part in parts if part != "")


def draw(table: Path, out: Path, target: str, active: int | str) -> None:
    """Draw errors and error bars of the gap against the size of the molecules, and one against the other."""
    rows = [row for row in read_rows(table) if row["target"] == target and row["active"] in ("", str(active))]
    rows.sort(key=lambda row: int(row["largest"]))
    figure, ((left, right),) = new_panels(1, 2, 9.0, 4.0)
    sizes = [int(row["largest"]) + 1 for row in rows]
    curves = (("gap_mae_mev", "gap MAE", VERMILION), ("gap_mean_std_mev", "mean error bar of the gap", BLUE))
    for key, label, colour in (*curves, ("eigenvalue_mae_mev", "level MAE", GREEN)):
        left.plot(sizes, [float(row[key]) for row in rows], marker="o", color=colour, label=label)
    left.set(xlabel="heavy atoms; trained on one less", ylabel="meV", xticks=sizes, ylim=(0, None))
    add_legend(left)
    parts = [np.load(out / f"{stem_of(row)}.npz") for row in rows]
    errors, stds = (np.concatenate([1e3 * p[f"gap_{name}_ev"] for p in parts]) for name in ("errors", "stds"))
    error_against_std(right, errors, stds, "gap / meV")
    save_figure(figure, out / f"qm7_size_{target}.png")


if __name__ == "__main__":
    main()
