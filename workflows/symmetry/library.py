"""One molecule of every built-in group: its group, the irreps of its orbitals, degeneracies found of those required.

Run: python workflows/symmetry/library.py [OUT], a new folder, which also gets JSON and diagram of every molecule.
The same for one of them: hamlearn symmetry benzene --qm RHF/def2-SVP -o benzene.json
"""

from random_benzene import output_folder, write_table

from hamlearn import symmetry_report
from hamlearn.config import SaphTarget
from hamlearn.structures import MOLECULES, molecule
from hamlearn.symmetry import decompose, point_group
from hamlearn.targets import target_orbitals
from hamlearn.workflow.symmetry import write_symmetry

out = output_folder()

rows, broken = [], []
for name in MOLECULES:
    atoms = molecule(name)
    group = point_group(atoms)
    valence = target_orbitals(SaphTarget(), "def2-SVP", set(atoms.numbers.tolist()))
    counts = decompose(group, valence, atoms.numbers)
    gamma = " + ".join(f"{n if n > 1 else ''}{irrep}" for irrep, n in counts.items())
    row = {"molecule": name, "group": group.name, "valence orbitals": gamma, "found of required": "see c60.py"}
    if name != "C60":
        report = symmetry_report(name, qm="RHF/def2-SVP")
        write_symmetry(report, out / f"{name}.json")
        spread = max(level.spread_ev for level in report.levels)
        row["found of required"] = ", ".join(f"{d}-fold {n} of {all_}" for d, (all_, n) in report.degeneracies.items())
        row |= {"spread_ev": spread, "violation_hartree": report.max_violation_hartree}
        broken += [name for wanted, n in report.degeneracies.values() if n < wanted]
    rows.append({"spread_ev": "", "violation_hartree": "", **row})
write_table(out / "library.csv", rows)
if broken:
    raise SystemExit(f"degenerate levels are split: {broken}")
