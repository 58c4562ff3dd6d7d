"""Benzene along an e2g, an a1g and a b2u vibration, or a molecule of your own along others: what splits, what shifts,
and to which order.
"""

from pathlib import Path

import numpy as np
from random_benzene import STO_3G, check_jahn_teller, fit_random_benzene, new_output, options, rhf_sto3g, write_table

from hamlearn import molecule, read_structures
from hamlearn.plots import save_figure
from hamlearn.plots.jahn_teller import splittings
from hamlearn.plots.panels import new_panels
from hamlearn.plots.walsh import walsh
from hamlearn.qm.hessian import compute_hessian
from hamlearn.structures.transforms import with_positions
from hamlearn.symmetry import label_levels, point_group, representation, symmetrise
from hamlearn.symmetry.jahn_teller import level_responses
from hamlearn.symmetry.vibrations import vibrations
from hamlearn.symmetry.walsh import walsh_diagram

SMALL, WIDE = np.array([-4, -2, -1, 1, 2, 4]) * 5e-4, np.linspace(-0.3, 0.3, 13)  # Å
MODES, WINDOW_EV = ("E2g", "A1g", "B2u"), (-38, 30)


def summary(responses):
    """Return the extremes over all levels, eV/Å."""
    degenerate = [r for r in responses if r.degeneracy > 1]
    single = [r for r in responses if r.degeneracy == 1]
    return {
        "least splitting slope": min((r.splitting_slope for r in degenerate), default=0.0),
        "largest": max((r.splitting_slope for r in degenerate), default=0.0),
        "largest |mean slope|, E levels": max((abs(r.mean_slope) for r in degenerate), default=0.0),
        "single levels": max((abs(r.mean_slope) for r in single), default=0.0),
    }


parser = options()
parser.add_argument(
    "--molecule", help="of the library, or a file; a minimum of RHF/STO-3G or near it (default: benzene)"
)
parser.add_argument(
    "--modes", nargs="+", default=MODES, metavar="IRREP", help="the first vibration of each is followed"
)
given = parser.parse_args()
out = new_output(given)
sources, at_rest = {"RHF/STO-3G": rhf_sto3g}, None
if given.molecule is None:
    at_rest, _, model = fit_random_benzene()
    sources = {"random model": lambda atoms: model.predict([atoms])[0], **sources}
elif Path(given.molecule).exists():
    at_rest = read_structures(given.molecule)[0]
    at_rest = symmetrise(at_rest, point_group(at_rest))
else:
    at_rest = molecule(given.molecule)
group = point_group(at_rest)
found = vibrations(at_rest, compute_hessian(at_rest, STO_3G), group)
present = sorted(v.irrep for v in found)
print("Gamma_vib =", " ".join(present))
if missing := sorted(set(given.modes) - set(present)):
    raise SystemExit(f"no vibration is {missing[0]}; give --modes among {', '.join(dict.fromkeys(present))}")
rows, short = [], []
n_rows, n_columns = len(sources), len(given.modes)
panels, wide = new_panels(n_rows, n_columns, 4.4 * n_columns, 4.25 * n_rows)
orders, narrow = new_panels(n_rows, n_columns, 4.0 * n_columns, 3.75 * n_rows)
for line, (source, hamiltonian) in enumerate(sources.items()):
    still = hamiltonian(at_rest)
    operations = representation(group, still.basis, at_rest.numbers)
    levels = label_levels(still.hamiltonian, still.metric, still.n_occupied, group, operations)
    for column, mode in enumerate(given.modes):
        vibration = next(v for v in found if v.irrep == mode)
        path = [with_positions(at_rest, at_rest.positions + q * vibration.displacements[0]) for q in (*SMALL, *WIDE)]
        moved = [hamiltonian(atoms) for atoms in path]
        near = np.array([p.eigenvalues_ev for p in moved[: len(SMALL)]])
        responses = level_responses(levels, SMALL, near)
        rows += [{"source": source, "mode": mode, **vars(response)} for response in responses]
        short.append({"source": source, "mode": mode, **summary(responses)})
        title = f"{source}, {mode} {vibration.wavenumber:.0f} cm$^{{-1}}$"
        splittings(narrow[line][column], SMALL, near, levels, title, legend=column == 0)
        tracks = walsh_diagram(path[len(SMALL) :], moved[len(SMALL) :])
        walsh(wide[line][column], WIDE, tracks, "displacement / Å", title, WINDOW_EV, legend=True)
write_table(out / "jahn_teller_slopes.csv", rows)
write_table(out / "jahn_teller_summary.csv", short)
if given.molecule is None:
    check_jahn_teller(short)
save_figure(panels, out / "jahn_teller_levels.png", dpi=110)
save_figure(orders, out / "jahn_teller_orders.png", dpi=110)
