"""Benzene along an e2g, an a1g and a b2u vibration: what splits, what shifts, and to which order."""

import numpy as np
from random_benzene import STO_3G, check_jahn_teller, fit_random_benzene, output_folder, rhf_sto3g, write_table

from hamlearn.plots import save_figure
from hamlearn.plots.jahn_teller import splittings
from hamlearn.plots.panels import new_panels
from hamlearn.plots.walsh import walsh
from hamlearn.qm.hessian import compute_hessian
from hamlearn.structures.transforms import with_positions
from hamlearn.symmetry import label_levels, point_group, representation
from hamlearn.symmetry.jahn_teller import level_responses
from hamlearn.symmetry.vibrations import vibrations
from hamlearn.symmetry.walsh import walsh_diagram

SMALL, WIDE = np.array([-4, -2, -1, 1, 2, 4]) * 5e-4, np.linspace(-0.3, 0.3, 13)  # Å
MODES, WINDOW_EV = ("E2g", "A1g", "B2u"), (-38, 30)


def summary(responses):
    """Return the extremes over all levels, eV/Å."""
    degenerate = [r.splitting_slope for r in responses if r.degeneracy == 2]
    return {
        "least splitting slope": min(degenerate),
        "largest": max(degenerate),
        "largest |mean slope|, E levels": max(abs(r.mean_slope) for r in responses if r.degeneracy == 2),
        "single levels": max(abs(r.mean_slope) for r in responses if r.degeneracy == 1),
    }


out = output_folder()
benzene, _, model = fit_random_benzene()
group = point_group(benzene)
found = vibrations(benzene, compute_hessian(benzene, STO_3G), group)
print("Gamma_vib =", " ".join(sorted(v.irrep for v in found)))
sources = {"random model": lambda atoms: model.predict([atoms])[0], "RHF/STO-3G": rhf_sto3g}
rows, short = [], []
(panels, wide), (orders, narrow) = new_panels(2, 3, 13, 8.5), new_panels(2, 3, 12, 7.5)
for line, (source, hamiltonian) in enumerate(sources.items()):
    still = hamiltonian(benzene)
    operations = representation(group, still.basis, benzene.numbers)
    levels = label_levels(still.hamiltonian, still.metric, still.n_occupied, group, operations)
    for column, mode in enumerate(MODES):
        vibration = next(v for v in found if v.irrep == mode)
        path = [with_positions(benzene, benzene.positions + q * vibration.displacements[0]) for q in (*SMALL, *WIDE)]
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
check_jahn_teller(short)
save_figure(panels, out / "jahn_teller_levels.png", dpi=110)
save_figure(orders, out / "jahn_teller_orders.png", dpi=110)
