"""One molecule of every built-in group: its group, the irreps of its orbitals, degeneracies found of those required.

Run: python workflows/symmetry/library.py [OUT], which also gets the JSON and the diagram of every molecule.
The same for one of them: hamlearn symmetry benzene --qm RHF/def2-SVP -o benzene.json
"""

import sys
from pathlib import Path

from hamlearn import symmetry_report
from hamlearn.config import TargetSettings
from hamlearn.structures import MOLECULES, molecule
from hamlearn.symmetry import decompose, point_group
from hamlearn.targets import target_orbitals
from hamlearn.workflow.symmetry import write_symmetry

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/symmetry/library")
out.mkdir(parents=True, exist_ok=True)

print(
    "| molecule | group | valence orbitals (H 1s, others 2s 2p) | RHF/def2-SVP levels: degeneracies found of required"
)
for name in MOLECULES:
    atoms = molecule(name)
    group = point_group(atoms)
    valence = target_orbitals(TargetSettings(), "def2-SVP", set(atoms.numbers.tolist()))
    counts = decompose(group, valence, atoms.numbers)
    gamma = " + ".join(f"{n if n > 1 else ''}{irrep}" for irrep, n in counts.items())
    found = "not computed: see c60.py"
    if name != "C60":
        report = symmetry_report(name, qm="RHF/def2-SVP")
        write_symmetry(report, out / f"{name}.json")
        spread = max(level.spread_ev for level in report.levels)
        found = ", ".join(f"{d}-fold {n} of {wanted}" for d, (wanted, n) in report.degeneracies.items())
        found += f" | spread {spread:.0e} eV, violation {report.max_violation_hartree:.0e} Hartree"
    print(f"| {name} | {group.name} | {gamma} | {found} |")
