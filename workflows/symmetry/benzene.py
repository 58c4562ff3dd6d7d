"""One benzene with a random Hamiltonian teaches a model the group average of that matrix, and all its degeneracies."""

import numpy as np
from random_benzene import BASIS, fit_random_benzene, output_folder, write_table

from hamlearn.observables.cube import orbital_cubes, write_cube
from hamlearn.plots import new_figure, save_figure
from hamlearn.plots.mo_diagram import irrep_text, mo_diagram, mo_diagram_size
from hamlearn.plots.orbital_surface import orbital_surface
from hamlearn.plots.panels import new_panels
from hamlearn.symmetry import decompose, group_average, label_levels, point_group, representation, violation
from hamlearn.units import BOHR_ANGSTROM

EXPECTED = {"A1g": 3, "A2g": 1, "B1u": 3, "B2u": 1, "A2u": 1, "B2g": 1, "E1u": 4, "E2g": 4, "E1g": 1, "E2u": 1}


def pairs(levels_hartree, tolerance=1e-9):
    """Count neighbouring levels that coincide."""
    return int((np.diff(np.sort(levels_hartree)) < tolerance).sum())


out = output_folder()
benzene, raw, model = fit_random_benzene()
prediction = model.predict([benzene])[0]
group = point_group(benzene)
operations = representation(group, prediction.basis, benzene.numbers)
levels = label_levels(prediction.hamiltonian, None, prediction.n_occupied, group, operations)
gamma = decompose(group, prediction.basis, benzene.numbers)
error = abs(prediction.hamiltonian - group_average(raw, operations)).max()
print(f"{group.name}, {group.order} operations, largest deviation {group.largest_deviation_angstrom:.1e} Å")
print("Gamma =", " + ".join(f"{n if n > 1 else ''}{irrep}" for irrep, n in gamma.items()))
print(f"largest |predicted - group average| {error:.1e} Hartree")
print(
    f"largest |P H P^T - H|: raw {violation(raw, operations):.2f}, "
    f"predicted {violation(prediction.hamiltonian, operations):.1e} Hartree"
)
print(
    f"degenerate pairs: raw matrix {pairs(np.linalg.eigvalsh(raw))}, "
    f"predicted {pairs(np.linalg.eigvalsh(prediction.hamiltonian))} of {sum(m.degeneracy == 2 for m in levels)}"
)
write_table(out / "benzene_levels.csv", [vars(multiplet) for multiplet in levels])
degenerate = pairs(np.linalg.eigvalsh(raw)), pairs(np.linalg.eigvalsh(prediction.hamiltonian))
if gamma != EXPECTED or error > 1e-9 or degenerate != (0, 10):
    raise SystemExit("the prediction lacks the symmetry it must have")

figure, ax = new_figure(*mo_diagram_size(levels))
mo_diagram(ax, levels, "Random Hamiltonian of benzene, learned")
save_figure(figure, out / "benzene_mo_diagram.png")

cubes = orbital_cubes(prediction, benzene.positions / BOHR_ANGSTROM, BASIS, range(6))
figure, axes = new_panels(2, 3, 8, 4.6)
for level, (cube, ax) in enumerate(zip(cubes, axes[0] + axes[1], strict=True)):
    multiplet = next(m for m in levels if level in m.indices)
    orbital_surface(ax, cube, title=f"{irrep_text(multiplet.irrep)}   {multiplet.energy_ev:.1f} eV".replace("-", "−"))
    write_cube(out / f"benzene_{level + 1}_{multiplet.irrep}.cube", cube, f"{multiplet.irrep} {multiplet.energy_ev} eV")
save_figure(figure, out / "benzene_orbitals.png", dpi=110)
