"""The model that saw one benzene predicts C60: all 64 multiplets the icosahedron requires, none broken."""

import resource
import time
import warnings

import numpy as np
from random_benzene import fit_random_benzene, output_folder, write_table

from hamlearn import molecule
from hamlearn.errors import HamlearnWarning
from hamlearn.plots import new_figure, save_figure
from hamlearn.plots.mo_diagram import mo_diagram, mo_diagram_size
from hamlearn.symmetry import decompose, label_levels, point_group, representation, violation
from hamlearn.units import HARTREE_EV

EXPECTED = {"Ag": 3, "Au": 1, "T1g": 5, "T1u": 7, "T2g": 5, "T2u": 7, "Gg": 8, "Gu": 8, "Hg": 11, "Hu": 9}

out = output_folder()
_, _, model = fit_random_benzene()
c60 = molecule("C60")
start = time.perf_counter()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", HamlearnWarning)  # atoms further apart than 6.5 Å are not coupled
    prediction = model.predict([c60])[0]
seconds = {"prediction": time.perf_counter() - start}
start = time.perf_counter()
group = point_group(c60)
operations = representation(group, prediction.basis, c60.numbers)
levels = label_levels(prediction.hamiltonian, None, prediction.n_occupied, group, operations)
gamma = decompose(group, prediction.basis, c60.numbers)
seconds["symmetry"] = time.perf_counter() - start
energies = np.linalg.eigvalsh(prediction.hamiltonian)
widest = max(m.spread_ev for m in levels) / HARTREE_EV
print(
    f"{group.name}, {group.order} operations, {len(energies)} orbitals, largest |P H P^T - H| "
    f"{violation(prediction.hamiltonian, operations):.1e} Hartree"
)
print("Gamma =", " + ".join(f"{n}{irrep}" for irrep, n in gamma.items()))
print(
    f"{len(levels)} multiplets, widest {widest:.1e} Hartree, distinct levels {1 + (np.diff(energies) > 1e-9).sum()}, "
    f"degeneracies { {d: sum(m.degeneracy == d for m in levels) for d in (1, 3, 4, 5)} }"
)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()) + f", peak memory {peak:.2f} GB")
write_table(out / "c60_levels.csv", [vars(multiplet) for multiplet in levels])
figure, ax = new_figure(*mo_diagram_size(levels))
mo_diagram(ax, levels, "C60 from one random benzene")
save_figure(figure, out / "c60_mo_diagram.png")
if gamma != EXPECTED or widest > 1e-9 or len(levels) != 64:
    raise SystemExit("a multiplet is broken")
