"""A model of water predicts turned, inverted and relabelled copies element by element, not only with equal spectra."""

import numpy as np
from random_benzene import output_folder, write_table

from hamlearn import HamiltonianModel, QMSettings, SaphTarget, build_target, molecule
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.plots import new_figure, save_figure
from hamlearn.plots.style import GREY, OCCUPIED, add_legend
from hamlearn.qm import run_scf
from hamlearn.structures import distort, permute, random_rotation, rotate
from hamlearn.units import BOHR_ANGSTROM, HARTREE_EV

QM, TARGET = QMSettings(basis="def2-SVP"), SaphTarget()
TURN = random_rotation(np.random.default_rng(1))
COPIES = {  # what x' = R x is done to a molecule, and the new order of its atoms
    "turned": (TURN, [0, 1, 2]),
    "inverted": (-np.eye(3), [0, 1, 2]),
    "H atoms swapped": (np.eye(3), [0, 2, 1]),
    "turned, inverted, swapped": (-TURN, [0, 2, 1]),
}


def moved_along(prediction, rotation, order):
    """Return P D H D^T P^T, what the matrix must become."""
    t = ao_rotation(prediction.basis, prediction.numbers, rotation)
    index = ao_permutation(prediction.basis, prediction.numbers, order)
    return (t @ prediction.hamiltonian @ t.T)[np.ix_(index, index)]


out = output_folder()
waters = [distort(molecule("water"), 0.05, seed) for seed in range(60)]
targets = [build_target(run_scf(w.numbers, w.positions / BOHR_ANGSTROM, QM), TARGET) for w in waters[:50]]
rows = []
for n_train in (1, 50):
    model = HamiltonianModel(qm=QM, target=TARGET).fit(waters[:n_train], targets[:n_train])
    plain = model.predict(waters[50:])
    for name, (rotation, order) in COPIES.items():
        moved = model.predict([permute(rotate(water, rotation), order) for water in waters[50:]])
        expected = np.array([moved_along(prediction, rotation, order) for prediction in plain])
        found = np.array([prediction.hamiltonian for prediction in moved])
        levels = np.array([p.eigenvalues_ev for p in moved]) - np.array([p.eigenvalues_ev for p in plain])
        error = {"element_hartree": float(abs(found - expected).max())}
        error["level_hartree"] = float(abs(levels).max() / HARTREE_EV)
        rows.append({"n_train": n_train, "copy": name, **error})
write_table(out / "water_equivariance.csv", rows)
figure, ax = new_figure()
still = np.array([prediction.hamiltonian for prediction in plain])
ax.plot(still.ravel(), found.ravel(), "x", color=GREY, label="against H of the molecule as it was")
ax.plot(expected.ravel(), found.ravel(), ".", color=OCCUPIED, label="against P D H D$^T$ P$^T$")
ax.set(xlabel="element / Hartree", ylabel="element of the copy's H / Hartree", title="Turned, inverted, H swapped")
add_legend(ax, loc="lower right")
save_figure(figure, out / "water_equivariance.png")
if max(row["element_hartree"] for row in rows) > 1e-10:
    raise SystemExit("a prediction does not follow the molecule")
