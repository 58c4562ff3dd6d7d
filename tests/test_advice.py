"""Refusals give advice that works: each is provoked, its advice followed to the letter, and what was refused succeeds.

Names and numbers are taken from the messages; everything goes through the command line.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner, Result

from hamlearn.cli import app
from hamlearn.structures import split

Settings = Mapping[str, str | None]

BASE = {
    "structures.file": "molecules.extxyz",
    "qm.basis": "sto-3g",
    "model.kind": "ridge",
    "model.features": "{kind: coupled, max_n: 2, max_l: 2}",
    "split": "{train: 3, test: 1}",
}
KERNEL_SETTINGS = "{kind: kernel, kernel: {kind: pairs, max_nu_pair: 1, max_nu_centre: 1, max_l: 2}}"
KERNEL = {
    "model": KERNEL_SETTINGS,
    "model.kind": None,
    "model.features": None,
}


def waters(n: int = 4) -> list[Atoms]:
    rng = np.random.default_rng(0)
    base = np.array([[0, 0, 0.0], [0.76, 0, 0.59], [-0.76, 0, 0.59]])
    return [Atoms("OHH", base + shift) for shift in rng.normal(scale=0.04, size=(n, 3, 3))]


def diatomics(symbols: str, n: int = 4, length: float = 1.0, **info: object) -> list[Atoms]:
    molecules = [Atoms(symbols, [(0, 0, 0), (0, 0, length + 0.02 * k)]) for k in range(n)]
    for atoms in molecules:
        atoms.info |= info
    return molecules


def call(*arguments: object) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tiny features reach few blocks
        return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(result: Result) -> str:
    assert result.exit_code == 2, result.output + repr(result.exception)
    return result.stderr


def advised(message: str, pattern: str) -> re.Match[str]:
    """Return where a message gives the advice."""
    found = re.search(pattern, " ".join(message.split()))
    assert found is not None, f"no '{pattern}' in: {message}"
    return found


def succeeded(result: Result) -> None:
    assert result.exit_code == 0, result.output + repr(result.exception)


def workflow(folder: Path, molecules: list[Atoms], settings: Settings) -> list[str]:
    """Write structures and return the arguments of a run with some settings; null leaves one of BASE out."""
    ase.io.write(folder / "molecules.extxyz", molecules, format="extxyz")
    chosen = {name: text for name, text in {**BASE, **settings}.items() if text is not None}
    (folder / "run.yaml").write_text("structures: {}\n")
    return [str(folder / "run.yaml"), *(part for item in chosen.items() for part in ("--set", "=".join(item)))]


@dataclass(frozen=True)
class Advice:
    """A refusal and its advice.

    Attributes:
        given: settings that are refused.
        says: pattern of the advice; its groups are names and numbers of the message.
        follow: settings that follow it, with the groups in braces; None drops one.
        molecules: of the file.
        verb: what is run; qm stops after the calculations.
    """

    given: Settings
    says: str
    follow: Settings
    molecules: Callable[[], list[Atoms]] = waters
    verb: str = "qm"


def followed(template: str | None, found: re.Match[str]) -> str | None:
    return template and re.sub(r"<(\w+)>", lambda name: found[name[1]], template)


OF_SETTINGS = {
    # functionals and methods
    "functional without method": Advice({"qm.xc": "pbe"}, r"use method (?P<m>\w+)", {"qm.method": "<m>"}),
    "functional to drop": Advice({"qm.xc": "pbe"}, r"or drop xc", {"qm.xc": None}),
    "method without functional": Advice({"qm.method": "RKS"}, r"such as (?P<xc>\w+),", {"qm.xc": "<xc>"}),
    "ambiguous functional, one": Advice(
        {"qm.method": "RKS", "qm.xc": "b3lyp"}, r"variant: (?P<xc>\w+) \(VWN3", {"qm.xc": "<xc>"}
    ),
    "ambiguous functional, other": Advice(
        {"qm.method": "RKS", "qm.xc": "b3lyp"}, r"or (?P<xc>\w+) \(VWN5", {"qm.xc": "<xc>"}
    ),
    "ambiguous part": Advice({"qm.method": "RKS", "qm.xc": "x3lyp"}, r"variant: (?P<xc>\w+) ", {"qm.xc": "<xc>"}),
    "misspelt functional": Advice(
        {"qm.method": "RKS", "qm.xc": "pbee"}, r"did you mean '(?P<xc>[^']+)'", {"qm.xc": "<xc>"}
    ),
    "unfit functional": Advice(
        {"qm.method": "RKS", "qm.xc": "scanl"}, r"choose another, such as (?P<xc>\w+),", {"qm.xc": "<xc>"}
    ),
    "dispersion": Advice(
        {"qm.method": "RKS", "qm.xc": "pbe-d4"}, r"xc '(?P<xc>\w+)-d4' .*drop the suffix", {"qm.xc": "<xc>"}
    ),
    "open shell, restricted": Advice({"qm.multiplicity": "3"}, r"use method (?P<m>\w+)", {"qm.method": "<m>"}),
    # bases and guesses
    "misspelt basis": Advice({"qm.basis": "stoo-3g"}, r"did you mean '(?P<b>[^']+)'", {"qm.basis": "<b>"}),
    "unknown basis": Advice({"qm.basis": "qqqq"}, r"common ones are (?P<b>[\w-]+),", {"qm.basis": "<b>"}),
    "another common basis": Advice({"qm.basis": "qqqq"}, r"STO-3G, (?P<b>[\w*-]+),", {"qm.basis": "<b>"}),
    "auxiliary basis": Advice({"qm.basis": "def2-svp-jkfit"}, r"such as (?P<b>[\w-]+) or", {"qm.basis": "<b>"}),
    "element without basis": Advice(
        {"qm.basis": "6-31G", "target.kind": "lowdin"},
        r"no functions for I; choose a basis that covers these elements, such as (?P<b>[\w-]+),",
        {"qm.basis": "<b>"},
        lambda: diatomics("HI", length=1.6),
    ),
    "pseudopotential basis": Advice({"qm.basis": "gth-szv"}, r"such as (?P<b>def2-SVP)", {"qm.basis": "<b>"}),
    "guess without core": Advice(
        {"qm.basis": "def2-SVP", "target": "{kind: lowdin, delta: sto-3g}"},
        r"choose another guess or delta, such as (?P<g>\w+)",
        {"target": "{kind: lowdin, delta: <g>}"},
        lambda: diatomics("HI", length=1.6),
    ),
    "unknown guess": Advice({"qm.guess": "minaoo"}, r"expected one of '(?P<g>\w+)'", {"qm.guess": "<g>"}),
    "nothing left to learn, delta": Advice(
        {"target.delta": "sto-3g"}, r"use delta (?P<d>\w+)", {"target.delta": "<d>"}
    ),
    "nothing left to learn, basis": Advice({"target.delta": "sto-3g"}, r"or a larger qm.basis", {"qm.basis": "6-31G"}),
    "no minimal basis": Advice(
        {}, r"choose target kind (?P<k>\w+) or", {"target.kind": "<k>"}, lambda: diatomics("CuH", length=1.5)
    ),
    # options of PySCF
    "misspelt solvent": Advice({"qm.pyscf.solvent": "watre"}, r"near ones: (?P<s>[^,;]+)", {"qm.pyscf.solvent": "<s>"}),
    "unknown solvent": Advice({"qm.pyscf.solvent": "qqqq"}, r"others are (?P<s>\w+),", {"qm.pyscf.solvent": "<s>"}),
    "solvent by number": Advice(
        {"qm.pyscf.solvent": "qqqq"},
        r"or give dielectric_constant in place of solvent",
        {"qm.pyscf.solvent": None, "qm.pyscf.dielectric_constant": "20"},
    ),
    "solvent twice": Advice(
        {"qm.pyscf.solvent": "water", "qm.pyscf.dielectric_constant": "80"}, r"drop one", {"qm.pyscf.solvent": None}
    ),
    "model without solvent": Advice(
        {"qm.pyscf.solvent_model": "C-PCM"}, r"such as (?P<s>\w+); give solvent", {"qm.pyscf.solvent": "<s>"}
    ),
    "Cartesian functions": Advice({"qm.pyscf.cart": "true"}, r"leave cart out", {"qm.pyscf.cart": None}),
    "auxiliary basis without fit": Advice(
        {"qm.pyscf.auxbasis": "weigend"}, r"needs density_fit: true; set it", {"qm.pyscf.density_fit": "true"}
    ),
    "unknown auxiliary basis": Advice(
        {"qm.pyscf.auxbasis": "qqqq", "qm.pyscf.density_fit": "true"},
        r"or (?P<b>\w+) *$",
        {"qm.pyscf.auxbasis": "<b>"},
    ),
    "grid without functional": Advice({"qm.pyscf.grid_level": "5"}, r"drop grid_level", {"qm.pyscf.grid_level": None}),
    # split
    "too many structures asked for": Advice(
        {"split": "{train: 4, test: 1}"}, r"lower one of them", {"split": "{train: 3, test: 1}"}
    ),
    "curve without test": Advice(
        {"split": "{train: 3, test: 0, curve: [2]}"},
        r"set test to at least (?P<n>\d+)",
        {"split": "{train: 3, test: <n>, curve: [2]}"},
    ),
    # names of settings
    "misspelt setting": Advice(
        {"qm.bassis": "6-31G"}, r"did you mean '(?P<n>[^']+)'", {"qm.bassis": None, "qm.<n>": "6-31G"}
    ),
    "setting in the wrong place": Advice(
        {"max_l": "1"}, r"did you mean '(?P<n>model.features.max_l)[^']*'", {"max_l": None, "<n>": "1"}
    ),
    "setting of another kind": Advice(
        {"model.solver": "QR"}, r"unknown setting of this kind of model; remove it", {"model.solver": None}
    ),
    "number of base 8": Advice(
        {"model.features.max_l": "02"}, r"a decimal number without leading zeros", {"model.features.max_l": "2"}
    ),
    # memory
    "features beyond memory, raised": Advice(
        {"model.memory_gb": "1e-4"},
        r"need (?:factors of )?(?P<m>[\d.e-]+) GB.*raise memory_gb",
        {"model.memory_gb": "<m>"},
        verb="fit",
    ),
    "features beyond memory, fewer": Advice(
        {"model.memory_gb": "1.5e-4"},
        r"lower model.features.max_n or max_l",
        {"model.features": "{kind: coupled, max_n: 1, max_l: 1}"},
    ),
    "kernels beyond memory": Advice(
        {**KERNEL, "model.memory_gb": "1e-7"},
        r" (?P<m>[\d.e-]+) GB.*raise memory_gb",
        {"model.memory_gb": "<m>"},
    ),
    "error bars beyond memory": Advice(
        {"model.error_bars": "true", "model.memory_gb": "2.3e-4"},
        r"or drop model.error_bars",
        {"model.error_bars": None},
    ),
    # active sets
    "large active set, lowered": Advice(
        {**KERNEL, "model.basis": "sparse", "model.active": "500"},
        r"at most (?P<n>\d+) samples.*lower it",
        {"model.active": "<n>"},
    ),
    "large active set, removed": Advice(
        {**KERNEL, "model.basis": "sparse", "model.active": "500"}, r"or remove it", {"model.active": None}
    ),
    "active set of too many of an element": Advice(
        {**KERNEL, "model.basis": "sparse", "model.active": "{O: 50}"},
        r"the training set has (?P<n>\d+); lower it",
        {"model.active": "{O: <n>}"},
    ),
    "active set of another element": Advice(
        {**KERNEL, "model.basis": "sparse", "model.active": "{C: 2}"},
        r"the training set has (?P<n>\w+),",
        {"model.active": "{<n>: 2}"},
    ),
    "active set without sparse basis": Advice(
        {**KERNEL, "model.basis": "full", "model.active": "2"},
        r"belongs to the basis (?P<b>\w+)",
        {"model.basis": "<b>"},
    ),
    # charges
    "odd electrons, unrestricted": Advice({}, r"use (?P<m>UHF)", {"qm.method": "<m>"}, lambda: diatomics("OH")),
    "odd electrons, charged": Advice({}, r"give the right charge", {"qm.charge": "-1"}, lambda: diatomics("OH")),
}


@pytest.mark.parametrize("name", OF_SETTINGS)
def test_advice_on_settings(tmp_path: Path, name: str) -> None:
    advice = OF_SETTINGS[name]
    refused = workflow(tmp_path, advice.molecules(), advice.given)
    verb = (advice.verb, "--executor", "serial", "-o", tmp_path / "run")
    message = refusal(call(*verb, *refused))
    found = advised(message, advice.says)
    assert not (tmp_path / "run").exists()
    fixed = {followed(key, found): followed(value, found) for key, value in advice.follow.items()}
    succeeded(call(*verb, *workflow(tmp_path, advice.molecules(), {**advice.given, **fixed})))


OF_STRUCTURES = {
    "charges that contradict": (
        {"charge": 1, "total_charge": -1},
        r"charge 1 contradicts total_charge -1; keep the right one",
        {"charge": 1},
        "OH",
    ),
    "a spin of many meanings": (
        {"spin": 2.0},
        r"spin 2(?:\.0)? may be .* \(multiplicity (?P<m>\d)[^)]*\); call it multiplicity",
        {"multiplicity": "<m>"},
        "OO",
    ),
    "a charge of an unknown name": (
        {"my_charge": 1},
        r"my_charge 1 looks like a charge or spin, .*; call it (?P<name>charge)",
        {"<name>": 1},
        "OH",
    ),
    "a charge of an unknown name, removed": (
        {"my_charge": 1},
        r"or remove it",
        {},
        "HH",
    ),
}


@pytest.mark.parametrize("name", OF_STRUCTURES)
def test_advice_on_charges_and_spins(tmp_path: Path, name: str) -> None:
    stated, says, better, symbols = OF_STRUCTURES[name]
    open_shells = {"qm.method": "UHF"} if symbols == "OO" else {}
    molecules = diatomics(symbols, length=0.75 if symbols == "HH" else 1.1)
    for atoms in molecules:
        atoms.info |= stated
    where = ("-o", tmp_path / "run", "--executor", "serial")
    found = advised(refusal(call("qm", *workflow(tmp_path, molecules, open_shells), *where)), says)
    for atoms in molecules:
        atoms.info = {followed(key, found): followed(str(value), found) for key, value in better.items()}
    succeeded(call("qm", *workflow(tmp_path, molecules, open_shells), *where))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (Atoms("OHH", [(0, 0, 0), (0, 0, 0.1), (0, 0.9, 0)]), r"[Rr]emove them"),
        (Atoms("OHH", [(0, 0, 0), (0, 0, np.nan), (0, 0.9, 0)]), r"[Rr]emove them"),
        (Atoms("OHI", [(0, 0, 0), (0, 0.7, 0.7), (0, 2.0, 0)]), r"or leave out the structures that contain them"),
    ],
)
def test_bad_structures_are_removed(tmp_path: Path, bad: Atoms, says: str) -> None:
    where = ("-o", tmp_path / "run", "--executor", "serial", "--set", "qm.basis=6-31G", "--set", "target.kind=lowdin")
    sizes = {"split": "{train: 4, test: 1}"}
    refused = workflow(tmp_path, [*waters(5)[:4], bad], sizes)
    advised(refusal(call("qm", *refused, *where)), says)
    succeeded(call("qm", *workflow(tmp_path, waters(5), sizes), *where))


def test_molecules_outside_the_domain_are_trained_on(tmp_path: Path) -> None:
    where = ("-o", tmp_path / "run", "--executor", "serial", "--set", "target.kind=lowdin")
    molecules = [*waters(4), *diatomics("HF", 4, 0.9)]
    seed = next(seed for seed in range(100) if max(split(8, 3, 5, seed)[0]) < 4)  # no fluorine in the training set
    refused = workflow(tmp_path, molecules, {"split": f"{{train: 3, test: 5, seed: {seed}}}"})
    advised(refusal(call("qm", *refused, *where)), r"train on molecules that contain what is missing")
    succeeded(call("qm", *workflow(tmp_path, molecules, {"split": f"{{train: 7, test: 1, seed: {seed}}}"}), *where))


def test_a_field_is_calculated_only(tmp_path: Path) -> None:
    refused = workflow(tmp_path, waters(), {"qm.pyscf.field_v_per_angstrom": "[0, 0, 0.1]"})
    where = ("-o", tmp_path / "run", "--executor", "serial")
    verb = advised(refusal(call("run", *refused, *where)), r"stop after the calculations: hamlearn (?P<v>\w+)")["v"]
    succeeded(call(verb, *refused, *where))


# -- files and their names


def test_names_of_workflow_files(tmp_path: Path) -> None:
    run = workflow(tmp_path, waters(), {})
    where = ("-o", tmp_path / "run", "--executor", "serial")
    found = advised(refusal(call("qm", tmp_path / "rum.yaml", *run[1:], *where)), r"did you mean '(?P<n>[^']+)'")
    succeeded(call("qm", tmp_path / found["n"], *run[1:], *where))


def test_names_of_structure_files(tmp_path: Path) -> None:
    refused = workflow(tmp_path, waters(), {"structures.file": "sub/../nowhere/molecules.extxyz"})
    where = ("-o", tmp_path / "run", "--executor", "serial")
    advised(refusal(call("qm", *refused, *where)), r"give a path relative to the workflow file")
    succeeded(call("qm", *workflow(tmp_path, waters(), {}), *where))


def test_variables_in_names_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = workflow(tmp_path, waters(), {"structures.file": "$MOLECULES_OF_THIS_TEST/molecules.extxyz"})
    where = ("-o", tmp_path / "run", "--executor", "serial")
    found = advised(refusal(call("qm", *refused, *where)), r"export (?P<name>\w+)=FOLDER")
    monkeypatch.setenv(found["name"], str(tmp_path))
    succeeded(call("qm", *refused, *where))


def test_settings_of_the_command_line(tmp_path: Path) -> None:
    run = workflow(tmp_path, waters(), {})
    where = ("-o", tmp_path / "run", "--executor", "serial")
    found = advised(refusal(call("qm", *run, *where, "--set", "max_l")), r"e\.g\. --set (?P<s>\S+)")
    succeeded(call("qm", *run, *where, "--set", found["s"]))


def test_an_empty_workflow_file_begins_with_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("")
    message = refusal(call("qm", tmp_path / "run.yaml", "-o", tmp_path / "run"))
    verb, option = advised(message, r"`hamlearn (?P<v>\w+) (?P<o>--\w+)`").groups()
    printed = call(verb, option)
    succeeded(printed)
    assert "structures:" in printed.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workflow, its molecules, and the run made of them."""
    folder = tmp_path_factory.mktemp("finished")
    run = workflow(folder, waters(), {})
    succeeded(call("run", *run, "-o", folder / "run", "--executor", "serial"))
    return folder


def test_folders_in_use_are_left_for_a_new_one(finished: Path, tmp_path: Path) -> None:
    molecules = finished / "molecules.extxyz"
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    predict = ("predict", finished / "run" / "model", molecules, "-o")
    advised(refusal(call(*predict, tmp_path / "used")), r"give a new folder")
    succeeded(call(*predict, tmp_path / "new"))


def test_folders_of_runs_are_given(finished: Path, tmp_path: Path) -> None:
    advised(refusal(call("status", tmp_path)), r"give the folder of hamlearn run -o")
    succeeded(call("status", finished / "run"))


def test_evaluations_of_molecules_need_a_folder(finished: Path, tmp_path: Path) -> None:
    evaluate = ("evaluate", finished / "run" / "model", finished / "molecules.extxyz", "--executor", "serial")
    advised(refusal(call(*evaluate)), r"needs -o DIR, a new folder")
    succeeded(call(*evaluate, "-o", tmp_path / "evaluation"))


def test_a_run_that_is_not_finished_goes_on(tmp_path: Path) -> None:
    run = workflow(tmp_path, waters(), {})
    succeeded(call("qm", *run, "-o", tmp_path / "run", "--executor", "serial"))
    verb = advised(refusal(call("evaluate", tmp_path / "run")), r"hamlearn (?P<v>\w+) FILE -o")["v"]
    succeeded(call(verb, *run, "-o", tmp_path / "run", "--executor", "serial"))
    succeeded(call("evaluate", tmp_path / "run"))


# -- symmetry of a molecule


def test_names_of_molecules() -> None:
    found = advised(refusal(call("symmetry", "bezene")), r"did you mean '(?P<n>[^']+)'")
    succeeded(call("symmetry", found["n"]))


def test_levels_need_a_hamiltonian() -> None:
    advised(refusal(call("symmetry", "water", "--levels", "1:3")), r"give --model or --qm")
    succeeded(call("symmetry", "water", "--levels", "1:3", "--qm", "RHF/sto-3g"))


def test_open_shells_need_an_unrestricted_method(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "oxygen.xyz", Atoms("O2", [(0, 0, 0), (0, 0, 1.2)]))
    command = ("symmetry", tmp_path / "oxygen.xyz", "--qm")
    found = advised(
        refusal(call(*command, "RHF/sto-3g")), r"use --qm (?P<qm>\S+) with --multiplicity, such as (?P<m>\d)"
    )
    succeeded(call(*command, found["qm"], "--multiplicity", found["m"]))


def test_tolerances_of_a_group_are_named(tmp_path: Path) -> None:
    positions = [(0, 0, 0.12), (0, 0.97, -0.25), (0.81, -0.47, -0.27), (-0.81, -0.47, -0.27)]
    ase.io.write(tmp_path / "ammonia.xyz", Atoms("NHHH", positions))
    command = ("symmetry", tmp_path / "ammonia.xyz", "--group", "C3v", "--tolerance")
    found = advised(refusal(call(*command, "0.001")), r"give a tolerance of at least (?P<t>[\d.]+)")
    succeeded(call(*command, found["t"]))


def test_windows_are_written_as_said() -> None:
    command = ("symmetry", "water", "--qm", "RHF/sto-3g", "--levels")
    found = advised(refusal(call(*command, "1-3")), r"expected FIRST:LAST, such as (?P<w>\d+:\d+)")
    first, last = found["w"].split(":")
    assert int(first) < int(last)
    succeeded(call(*command, "1:3"))


def test_methods_are_written_as_said() -> None:
    found = advised(refusal(call("symmetry", "water", "--qm", "RHF")), r"such as (?P<qm>\S+) or")
    succeeded(call("symmetry", "water", "--qm", found["qm"]))
