"""Walsh diagrams: water from bent to linear, benzene from one Kekulé structure to the other."""

import numpy as np
from ase import Atoms
from random_benzene import output_folder, rhf_sto3g, write_table

from hamlearn import molecule
from hamlearn.plots import save_figure
from hamlearn.plots.panels import new_panels
from hamlearn.plots.walsh import walsh
from hamlearn.structures.transforms import with_positions
from hamlearn.symmetry.walsh import common_group, walsh_diagram


def water(degrees, bond=0.9572):
    """Return water with this H-O-H angle, the axis along z."""
    y, z = bond * np.sin(np.radians(degrees / 2)), bond * np.cos(np.radians(degrees / 2))
    return Atoms("OH2", [(0, 0, 0), (0, y, z), (0, -y, z)])


def kekule(degrees):
    """Return benzene with neighbouring C-H units turned about the axis against each other: D6h only at 0."""
    benzene = molecule("benzene")
    ring = np.arange(12) % 6  # carbons, then hydrogens
    angle = np.radians(degrees) * (-1.0) ** ring
    x, y, z = benzene.positions.T
    turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle), z], axis=1)
    return with_positions(benzene, turned)


out = output_folder()
paths = {
    "water": (water, np.linspace(70, 180, 23), "H–O–H angle / degrees", (-40, 25)),
    "benzene": (kekule, np.linspace(-6, 6, 13), "turn of neighbouring C–H units / degrees", (-35, 20)),
}
figure, (axes,) = new_panels(1, 2, 10.5, 6)
for (name, (build, coordinates, xlabel, window)), ax in zip(paths.items(), axes, strict=True):
    path = [build(coordinate) for coordinate in coordinates]
    group = common_group(path)
    tracks = walsh_diagram(path, [rhf_sto3g(atoms) for atoms in path], group)
    walsh(ax, coordinates, tracks, xlabel, f"{name}, RHF/STO-3G, {group.name}", window)
    write_table(
        out / f"walsh_{name}.csv",
        [
            {"irrep": t.irrep, **{f"{x:g}": float(e) for x, e in zip(coordinates, t.energies_ev, strict=True)}}
            for t in tracks
        ],
    )
save_figure(figure, out / "walsh.png")
