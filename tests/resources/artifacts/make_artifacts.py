"""Make the files of one version of hamlearn that later versions must read.

Run with that version installed; writes beside itself, into a folder named by the version, whose ``workflows/*.yaml``
are written by hand and say what is made:

    python make_artifacts.py

- ``structures/``: geometries with labels, from the shipped ones.
- ``models/NAME/``, ``expected/NAME.npz``: the model of every workflow, and what it predicts.
- ``settings.json``: what every workflow says, as (name, value) after the defaults were filled in.
- ``campaign/``, ``packed/``, ``targets/``: calculations, with one that failed, and the matrices to learn.
- ``finished/NAME/``: whole runs, without report and figures.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import get_args

import ase.io
import numpy as np
import yaml

import hamlearn
from hamlearn.qm import pack_campaign, scf
from hamlearn.structures import split
from hamlearn.targets import save_targets

OUT = Path(__file__).parent / hamlearn.__version__
DATA = Path(__file__).parents[3] / "data"
RUNS = {"matrix": "ridge_saph", "property": "energy_forces"}
WITHOUT_CHOICE = {"features.radial"}


def make_structures():
    """Write geometries with labels."""
    folder = OUT / "structures"
    folder.mkdir(exist_ok=True)
    waters = ase.io.read(DATA / "water_properties.extxyz", ":20")
    for atoms in waters:
        first, second = atoms.positions[1:] - atoms.positions[0]
        atoms.info["normal_angstrom2"] = np.cross(first, second)
    ase.io.write(folder / "waters.extxyz", waters)
    ase.io.write(folder / "polarizable.extxyz", ase.io.read(DATA / "water_polarizability.extxyz", ":20"))
    every = ase.io.read(DATA / "chno.extxyz", ":")
    names = ("ammonia", "methane", "formaldehyde")
    mixed = [[atoms for atoms in every if atoms.info["name"] == name][:4] for name in names]
    ase.io.write(folder / "mixed.extxyz", [atoms for group in zip(*mixed, strict=True) for atoms in group])
    cyanides = [atoms for atoms in every if atoms.info["name"] == "hydrogen_cyanide"]
    ase.io.write(folder / "cyanides.extxyz", cyanides[:12])


def flat(settings, prefix=""):
    """Yield (dotted name, value) of nested settings; what has names of its own, such as a grid, is one value."""
    for name, value in settings.items():
        if isinstance(value, dict) and name not in ("grid", "active"):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def make_settings(workflows):
    """Write what the workflows say, and check that every setting is away from its default in one of them."""
    default, said, changed = dict(defaults(hamlearn.Config)), {}, set()
    for name, config in workflows.items():
        text = yaml.safe_load((OUT / "workflows" / f"{name}.yaml").read_text())
        resolved = dict(flat(config.model_dump(mode="json")))
        said[name] = {key: resolved[key] for key, _ in flat(text) if key != "structures.file"}
        changed |= {key for key, value in resolved.items() if key in default and value != default[key]}
    missing = default.keys() - changed - WITHOUT_CHOICE
    assert not missing, f"no workflow changes {sorted(missing)}"
    (OUT / "settings.json").write_text(json.dumps(said, indent=1) + "\n")


def defaults(section, prefix=""):
    """Yield (dotted name, default) of every setting, as JSON has it."""
    for name, field in section.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if is_section(kind)]
        if inner:
            yield from defaults(inner[0], f"{prefix}{name}.")
            continue
        yield prefix + name, json.loads(json.dumps(field.get_default(), default=str))


def is_section(kind):
    """Whether a type has settings of its own."""
    return isinstance(kind, type) and hasattr(kind, "model_fields")


def make_model(name, config, scratch):
    """Fit what a workflow says, save the model and what it predicts."""
    structures = hamlearn.read_structures(config.structures.file)
    train, test = split(len(structures), config.split.train, config.split.test, config.split.seed)
    known, new = ([structures[k] for k in part] for part in (train, test))
    if config.is_property:
        model = hamlearn.PropertyModel(config.target, config.kernel, config.model).fit(known)
        expected = of_properties(model.predict(new, forces=model.has_forces, std=True))
    else:
        model = hamlearn.HamiltonianModel(config.qm, config.target, config.features, config.wigner, config.model)
        guesses = () if config.target.delta == "none" else (config.target.delta,)
        campaign = hamlearn.run_campaign(known, config.qm, scratch / name, guess_focks=guesses)
        targets = [hamlearn.build_target(campaign.load(k), config.target) for k in range(len(known))]
        model.fit(known, targets)
        expected = of_matrices(model.predict(new, std=config.model.error_bars))
    shutil.rmtree(OUT / "models" / name, ignore_errors=True)
    model.save(OUT / "models" / name)
    geometry = {
        "sizes": [len(atoms) for atoms in new],
        "numbers": np.concatenate([atoms.numbers for atoms in new]),
        "positions": np.concatenate([atoms.positions for atoms in new]),
    }
    np.savez_compressed(OUT / "expected" / f"{name}.npz", **geometry, **expected)


def of_properties(predictions):
    """Return values, standard deviations and forces, structure after structure."""
    out = {"values": np.array([p.value for p in predictions]), "stds": np.array([p.std for p in predictions])}
    if predictions[0].forces is not None:
        out["forces"] = np.concatenate([p.forces for p in predictions])
    return out


def of_matrices(predictions):
    """Return matrices, metrics and levels, one after the other, with error bars where there are any."""
    out = {
        "matrices": np.concatenate([p.hamiltonian.ravel() for p in predictions]),
        "levels": np.concatenate([p.eigenvalues_ev for p in predictions]),
        "gaps": np.array([p.gap_ev for p in predictions]),
    }
    if predictions[0].metric is not None:
        out["metrics"] = np.concatenate([p.metric.ravel() for p in predictions])
    if predictions[0].has_error_bars:
        out["matrix_stds"] = np.concatenate([p.hamiltonian_std.ravel() for p in predictions])
        out["level_stds"] = np.concatenate([p.eigenvalues_std_ev for p in predictions])
        out["gap_stds"] = np.array([p.gap_std_ev for p in predictions])
    return out


def make_campaigns(config):
    """Write a campaign of two calculations and one that fails, the same packed, and targets."""
    structures, folder = hamlearn.read_structures(config.structures.file)[:3], OUT / "campaign"
    shutil.rmtree(folder, ignore_errors=True)
    hamlearn.run_campaign(structures[:2], config.qm, folder, guess_focks=("core",))
    cycles, scf.MAX_CYCLES = scf.MAX_CYCLES, 1
    campaign = hamlearn.run_campaign(structures, config.qm, folder, guess_focks=("core",))
    scf.MAX_CYCLES = cycles
    assert list(campaign.failures) == [2]
    records = [campaign.load(k) for k in range(2)]
    arrays = ("fock", "overlap", "orbital_energies", "occupations", "dipole", "energy")
    expected = {name: np.array([getattr(record, name) for record in records]) for name in arrays}
    expected["guess"] = np.array([record.guess_focks["core"] for record in records])
    np.savez_compressed(OUT / "expected" / "campaign.npz", **expected)
    targets = [hamlearn.build_target(record, config.target) for record in records]
    shutil.rmtree(OUT / "targets", ignore_errors=True)
    save_targets(OUT / "targets", targets)
    arrays = ("matrix", "metric", "baseline", "n_occupied")
    expected = {name: np.array([getattr(target, name) for target in targets]) for name in arrays}
    np.savez_compressed(OUT / "expected" / "targets.npz", **expected)
    shutil.rmtree(OUT / "packed", ignore_errors=True)
    shutil.copytree(folder, OUT / "packed")
    pack_campaign(OUT / "packed")


def make_run(name, config):
    """Run a whole workflow, in its folder so that no path of this machine is written."""
    folder = OUT / "finished" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    here, file = Path.cwd(), f"../../structures/{Path(config.structures.file).name}"
    os.chdir(folder)
    config = config.model_copy(update={"structures": config.structures.model_copy(update={"file": file})})
    hamlearn.run(config, ".", executor="serial", echo=None)
    os.chdir(here)
    (folder / "report.html").unlink()
    shutil.rmtree(folder / "figures")


def main():
    """Make everything."""
    make_structures()
    workflows = {path.stem: hamlearn.load_config(path) for path in sorted((OUT / "workflows").glob("*.yaml"))}
    make_settings(workflows)
    (OUT / "expected").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, config in workflows.items():
            print(name)
            make_model(name, config, Path(scratch))
    make_campaigns(workflows["ridge_valence"])
    for name, workflow in RUNS.items():
        make_run(name, workflows[workflow])
    for lock in OUT.rglob(".lock*"):
        lock.unlink()


if __name__ == "__main__":
    main()
