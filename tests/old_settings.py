"""Workflow files and settings of runs in the layout of format 1, as they were."""

FOCK = "{method: RHF, basis: def2-SVP, conv_tol: 1.0e-10}"
LARGE = "{train: 800, test: 200, seed: 0, curve: [25, 50, 100, 200, 400, 800], repeats: %d}"
SMALL_KERNEL = "{cutoff_angstrom: 4.0, smearing_angstrom: 0.3, smearing_growth_angstrom: null}"
PROPERTIES = "split: {train: 100, test: 100, seed: 0, curve: [10, 25, 50, 100], repeats: 2}"

WORKFLOWS = {
    "ethanol": """
features: {cutoff_angstrom: 4.5, max_l: 4, max_n: 4}
split: {train: 200, test: 100, seed: 0, curve: [50, 100, 200]}""",
    "ethanol_wigner": """
model: {kind: wigner, error_bars: true}
split: {train: 200, test: 100, seed: 0, curve: [50, 100, 200]}""",
    "water": """
qm: {method: RHF, basis: def2-SVP}
target: {kind: saph}
features: {max_l: 6}
split: {train: 400, test: 100, seed: 0, curve: [25, 50, 100, 200, 400]}""",
    "water_fock": f"""
qm: {FOCK}
target: {{kind: fock}}
features: {{max_l: 8}}
split: {LARGE % 1}""",
    "water_lowdin": f"""
qm: {FOCK}
target: {{kind: lowdin}}
features: {{max_l: 8}}
split: {LARGE % 1}""",
    "water_saph": f"""
qm: {FOCK}
target: {{kind: saph}}
features: {{max_l: 8}}
split: {LARGE % 3}""",
    "water_wigner": """
wigner: {max_l: 4, smearing_angstrom: 0.4, smearing_growth_angstrom: null}
model: {kind: wigner, error_bars: true}
split: {train: 100, test: 100, seed: 0, curve: [25, 50, 100]}""",
    "property/water_dipole": f"""
target: {{kind: property, key: dipole_au, l: 1, unit: e bohr}}
kernel: {SMALL_KERNEL}
model: {{folds: 5}}
{PROPERTIES}""",
    "property/water_energy": f"""
target: {{kind: property, key: energy_ev, unit: eV, forces_key: forces_ev_angstrom}}
kernel: {SMALL_KERNEL}
model: {{basis: sparse, active: 80, folds: 5}}
{PROPERTIES}""",
    "property/water_polarizability": f"""
target: {{kind: property, key: polarizability_au, l: 2, unit: bohr^3}}
kernel: {SMALL_KERNEL}
model: {{folds: 5}}
{PROPERTIES}""",
}
"""Text of every workflow file of format 1, but for its structures."""

FEATURES = """
  cutoff_angstrom: 3.5
  cutoff_width_angstrom: 0.5
  pair_cutoff_angstrom: 6.0
  smearing_angstrom: 0.3
  radial: gto
  max_n: 6
  optimal: true
  max_l: 6
  max_nu_centre: 2
  max_nu_pair: 1
  scaling: null"""
WIGNER = """
  max_l: 3
  max_nu_centre: 4
  max_nu_pair: 3
  rate: 1.0
  form: sum
  mixture_i: null
  mixture_j: null
  message_passing: false
  cutoff_angstrom: 4.5
  cutoff_width_angstrom: 0.5
  smearing_angstrom: 0.2
  smearing_growth_angstrom: 3.0
  decay_angstrom: null
  element_likeness: null
  max_channels: 48
  pair_cutoff_angstrom: 8.0
  pair_smearing_angstrom: 0.5
  pair_decay_angstrom: null
  grid: null"""
KERNEL = """
  kind: wigner
  max_nu: 4
  zeta: 1
  max_l: 3
  cutoff_angstrom: 5.0
  cutoff_width_angstrom: 0.5
  smearing_angstrom: 0.1
  smearing_growth_angstrom: 2.0
  decay_angstrom: null
  element_likeness: null
  max_channels: 48
  l_weight: none
  structure: sum
  message_nu: null
  additive: []
  a: null
  b: null
  c0: null
  grid: null"""
OF_STRUCTURES = "\n  gamma: 1.0\n  additive_width_angstrom: 1.0"
MODEL = "\n  folds: 3\n  memory_gb: 4.0"
ACTIVE = "\n  basis: null\n  active: null"
OF_PROPERTIES = "\n  energy_weight: 1.0\n  force_weight: 1.0\n  solver: rkhs-qr\n  optimise: grid\n  loss: rmse"
MATRIX = "\n  delta: none\n  virtuals: lowest\n  minimal_basis: subset\n  form: orthogonal"
SCALAR = "\n  key: energy\n  l: 0\n  sigma: 1\n  forces_key: null\n  baseline: null\n  unit: null"
QM = "qm:\n  method: RHF\n  xc: null\n  basis: def2-SVP\n  guess: minao\n  conv_tol: 1.0e-10\n"
RESOLVED = {
    "ridge": (
        f"{QM}target:\n  kind: saph{MATRIX}\nfeatures:{FEATURES}\nmodel:\n  kind: ridge{MODEL}\n  error_bars: false\n",
        "features: {max_l: 6}\n",
    ),
    "fock": (
        f"{QM}target:\n  kind: fock{MATRIX}\nfeatures:{FEATURES}\nmodel:\n  kind: ridge{MODEL}\n  error_bars: false\n",
        "target: {kind: fock}\n",
    ),
    "wigner": (
        f"{QM}target:\n  kind: saph{MATRIX}\nwigner:{WIGNER}\nmodel:\n  kind: wigner{MODEL}\n"
        f"  error_bars: true{ACTIVE}\n  active_by: farthest\n",
        "model: {kind: wigner, error_bars: true}\n",
    ),
    "property": (
        f"target:\n  kind: property{SCALAR}\nkernel:{KERNEL}\nmodel:\n  kind: kernel{MODEL}{ACTIVE}{OF_PROPERTIES}\n",
        "target: {kind: property, key: energy}\n",
    ),
}
"""What runs of format 1 wrote into config.yaml, and the workflow file they were made with, but for the structures."""

SPLIT = "split: {train: 6, test: 2}\n"


def whole_file(model: str = "ridge", target: str = "saph") -> str:
    """A file with all settings of format 1 at their defaults, as `hamlearn config --defaults` gave it."""
    settings = MODEL + "\n  error_bars: false" + ACTIVE + "\n  active_by: farthest" + OF_PROPERTIES
    sections = f"features:{FEATURES}\nwigner:{WIGNER}\nkernel:{KERNEL}{OF_STRUCTURES}\n"
    scalar = SCALAR if target == "property" else SCALAR.replace("energy", "null")
    qm = QM if target != "property" else ""
    return f"{qm}target:\n  kind: {target}{MATRIX}{scalar}\n{sections}model:\n  kind: {model}{settings}\n{SPLIT}"
