"""The command line: one function call per verb."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hamlearn.cli.printing import (
    list_doubtful,
    list_failures,
    print_errors,
    print_predictions,
    print_properties,
    print_table,
)
from hamlearn.cli.shell import app
from hamlearn.display import counted
from hamlearn.errors import ArtifactError, ConfigError

Workflow = Annotated[Path, typer.Argument(metavar="FILE.yaml", help="workflow file", show_default=False)]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="run folder; continued if it exists")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="section.name=value", help="replace a setting; may be repeated")
]
Executor = Annotated[
    str, typer.Option("--executor", help="serial, local (all cores), local:N, or a cluster.yaml for dask")
]

QMFrom = Annotated[
    list[Path] | None,
    typer.Option(
        "--qm-from", metavar="RUN", help="take finished calculations of another run, evaluation or campaign; repeatable"
    ),
]

LIBRARY = "water, ammonia, methane, ethene, ethane, allene, benzene, acetylene, carbon_dioxide, C60"
"""Built-in molecules; a test compares them with the library, which is loaded when it is used."""


@app.command(
    epilog="Example: hamlearn run workflows/water.yaml -o runs/water --set model.features.max_l=8 --executor local:2"
)
def run(
    workflow: Workflow,
    out: Out,
    overrides: Overrides = None,
    executor: Executor = "local",
    qm_from: QMFrom = None,
) -> None:
    """Do everything from geometries to the report; continue a run that stopped, or goes on with other settings."""
    _run_stages(workflow, out, overrides, executor, None, qm_from)


@app.command(epilog="Example: hamlearn qm workflows/water.yaml -o runs/water --shard 0/10")
def qm(
    workflow: Workflow,
    out: Out,
    overrides: Overrides = None,
    executor: Executor = "local",
    shard: Annotated[str | None, typer.Option(metavar="i/n", help="do every n-th calculation, for job arrays")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="compute again what failed before")] = False,
    qm_from: QMFrom = None,
) -> None:
    """Compute the Fock and overlap matrices only; a property needs none."""
    from hamlearn.parallel import parse_shard

    part = parse_shard(shard) if shard else None
    _run_stages(workflow, out, overrides, executor, "qm", qm_from, shard=part, retry_failed=retry_failed)


@app.command(epilog="Example: hamlearn fit workflows/water.yaml -o runs/water")
def fit(
    workflow: Workflow,
    out: Out,
    overrides: Overrides = None,
    executor: Executor = "local",
    qm_from: QMFrom = None,
) -> None:
    """Compute what is missing and fit the model, without testing it."""
    _run_stages(workflow, out, overrides, executor, "fit", qm_from)
    typer.echo(f"model: {out / 'model'}")


@app.command(epilog="Example: hamlearn predict runs/water/model molecules.xyz -o predictions")
def predict(
    model: Annotated[Path, typer.Argument(metavar="OUT/model", help="folder of a saved model", show_default=False)],
    structures: Annotated[Path, typer.Argument(metavar="STRUCTURES", help="any file ASE reads", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="PRED", help="new folder for the predictions")],
    executor: Executor = "serial",
) -> None:
    """Predict Hamiltonians, levels and gaps, or a property, of new molecules."""
    from hamlearn import workflow

    predictions = workflow.predict(model, structures, out, executor, lambda line: typer.echo(line, err=True))
    file, properties = out / "predictions.extxyz", out / "properties.npz"
    if properties.exists():
        from hamlearn.artifacts import load_arrays

        about = load_arrays(properties, "predict again", ("key", "unit"))
        print_properties(predictions, file, f"{about['key']} / {about['unit']}".removesuffix(" / "))  # type: ignore[arg-type]
    else:
        print_predictions(predictions, file)  # type: ignore[arg-type]
    written = properties if properties.exists() else out / "hamiltonians.h5"
    typer.echo(f"{counted(len(predictions), 'prediction')}: {file}, {written}")


@app.command(epilog="Example: hamlearn select runs/water/model pool.xyz -n 20 -o next")
def select(
    model: Annotated[Path, typer.Argument(metavar="OUT/model", help="folder of a saved model", show_default=False)],
    candidates: Annotated[Path, typer.Argument(metavar="CANDIDATES", help="any file ASE reads", show_default=False)],
    n: Annotated[int, typer.Option("-n", metavar="N", help="how many to choose", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="OUT", help="new folder for the selection")] = None,
    by: Annotated[
        str, typer.Option(help="uncertainty (error bars), farthest (new geometries), or both multiplied")
    ] = "uncertainty",
    of: Annotated[str, typer.Option(help="error bars of the gap or of all levels")] = "gap",
    known: Annotated[
        Path | None, typer.Option(metavar="FILE", help="structures already computed; ridge regression needs them")
    ] = None,
    executor: Executor = "serial",
) -> None:
    """Tell which molecules to compute next, so that the model learns most."""
    from hamlearn import workflow

    report = workflow.select(model, candidates, n, out, by, of, known, executor)  # type: ignore[arg-type]
    print_table([("rank", "index", "formula", f"{of} std / meV", "distance"), *report.printed_rows()])
    if report.outside:
        typer.echo(f"\n{len(report.outside)} candidates are outside the model's domain; compute some of them, too")
        print_table([("index", "formula", "what is new"), *report.outside], words=True)
    if out is not None:
        typer.echo(f"\nwritten: {', '.join(str(out / name) for name in report.files)}")


@app.command(
    epilog="Examples: hamlearn evaluate runs/water; hamlearn evaluate runs/water/model molecules.xyz -o evaluation"
)
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="OUT|OUT/model", help="run or model folder", show_default=False)],
    structures: Annotated[
        Path | None,
        typer.Argument(metavar="STRUCTURES", help="molecules to compute by PySCF, or with the property, to compare"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="DIR", help="folder for the results on STRUCTURES")
    ] = None,
    executor: Executor = "local",
    qm_from: QMFrom = None,
) -> None:
    """Print the errors of a run, or of a model on other molecules."""
    from hamlearn import workflow

    if structures is None:
        return _print_run(folder)
    if out is None:
        raise ConfigError("evaluate with STRUCTURES needs -o DIR, a new folder for calculations and predictions")
    errors = workflow.evaluate(folder, structures, out, executor, qm_from=qm_from or ())
    print_errors(errors)
    list_doubtful(errors.get("doubtful_states") or {})
    list_failures(errors["failures"])


@app.command(epilog="Example: hamlearn report runs/water")
def report(out: Annotated[Path, typer.Argument(metavar="OUT", help="run folder", show_default=False)]) -> None:
    """Write the report of a finished run again."""
    from hamlearn.report import write_report

    typer.echo(f"report: {write_report(out)}")


@app.command(
    epilog="Examples: hamlearn symmetry benzene.xyz --symmetrise --qm RHF/def2-SVP -o benzene.json; "
    "hamlearn symmetry C60"
)
def symmetry(
    structure: Annotated[
        str, typer.Argument(metavar="STRUCTURE", help=f"any file ASE reads, or one of {LIBRARY}", show_default=False)
    ],
    model: Annotated[Path | None, typer.Option(metavar="OUT/model", help="saved model that predicts H")] = None,
    qm: Annotated[
        str | None, typer.Option(metavar="METHOD/BASIS", help="compute H, e.g. RHF/def2-SVP, UHF/def2-SVP")
    ] = None,
    charge: Annotated[int | None, typer.Option(help="of the molecule, for --qm; default: as the file says")] = None,
    multiplicity: Annotated[int | None, typer.Option(help="2S + 1, for --qm; default: as the file says")] = None,
    tolerance: Annotated[float, typer.Option(help="largest deviation from the point group, Å")] = 0.02,
    symmetrise: Annotated[bool, typer.Option("--symmetrise", help="make the geometry exactly symmetric first")] = False,
    group: Annotated[str | None, typer.Option(metavar="NAME", help="the point group it must have, e.g. D6h")] = None,
    index: Annotated[int | None, typer.Option(help="which structure of the file, from 0")] = None,
    levels: Annotated[str | None, typer.Option(metavar="FIRST:LAST", help="show these levels only, from 1")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE.json", help="JSON, with a diagram")] = None,
) -> None:
    """Tell the point group of a molecule and the irreps of its levels."""
    from hamlearn.workflow import symmetry as work

    window = work.parse_window(levels) if levels else None
    if out is not None:
        work.check_json_file(out)
    report = work.symmetry_report(structure, model, qm, tolerance, symmetrise, group, index, charge, multiplicity)
    facts, table = work.printed_report(report, window)
    print_table(facts)
    if table:
        typer.echo()
        print_table(table)
    if out is not None:
        typer.echo(f"written: {', '.join(map(str, work.write_symmetry(report, out)))}")


@app.command(epilog="Example: hamlearn status runs/water")
def status(out: Annotated[Path, typer.Argument(metavar="OUT", help="run folder", show_default=False)]) -> None:
    """Tell how far a run is, also while it runs."""
    from hamlearn.report.run_texts import read_settings
    from hamlearn.workflow.dependencies import earlier_folders

    if not (out / "config.yaml").exists():
        raise ArtifactError(f"{out} holds no run; give the folder of hamlearn run -o")
    stages, rows = {"fit": "model", "evaluate": "results.json"}, []
    settings = read_settings(out)
    if settings["target"]["kind"] != "property":
        from hamlearn.qm import campaign_status
        from hamlearn.qm.sharing import store_of
        from hamlearn.qm.store import listed

        words = "pending"
        if (out / "qm" / "campaign.json").exists():
            count = campaign_status(out / "qm")
            words = f"{count.done} of {count.total} done, {count.failed} failed, {count.pending} pending"
        rows = [("qm", words)]
        store = store_of((settings.get("qm") or {}).get("store", "beside"), out)
        if store is not None and store.exists():
            rows.append(("store", f"{counted(len(listed(store)), 'calculation')} in {store}"))
        stages = {"targets": "targets/targets.npz", **stages}
    for stage, file in stages.items():
        rows.append((stage, "done" if (out / file).exists() else "pending"))
    rows.append(("report", str(out / "report.html") if (out / "report.html").exists() else "pending"))
    rows += [("earlier", f"{path}, put aside when settings or calculations changed") for path in earlier_folders(out)]
    print_table(rows)


@app.command(epilog="Example: hamlearn plan workflows/water.yaml --set model.time_minutes=30")
def plan(workflow: Workflow, overrides: Overrides = None, executor: Executor = "local") -> None:
    """Tell what a run would choose and what it would take; nothing is written."""
    from hamlearn.config import load_config

    settings = load_config(workflow, overrides or ())
    from hamlearn import workflow as work

    for line in work.plan(settings, executor=executor).lines():
        typer.echo(line)


@app.command(epilog="Example: hamlearn config workflows/water.yaml --set model.features.max_l=8")
def config(
    workflow: Annotated[Path | None, typer.Argument(metavar="FILE.yaml", help="workflow file")] = None,
    overrides: Overrides = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="print all settings with their meaning")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON schema of a workflow file")] = False,
) -> None:
    """Print the resolved settings of a workflow, or all defaults."""
    from hamlearn.config import defaults_text, dump_config, json_schema, load_config

    if [workflow is not None, defaults, schema].count(True) != 1:
        raise ConfigError("config needs one of FILE.yaml, --defaults and --schema")
    if defaults:
        typer.echo(defaults_text(), nl=False)
    elif schema:
        typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    elif workflow is not None:
        from hamlearn.workflow.planning import resolved

        settings, words = resolved(load_config(workflow, overrides or ()))
        typer.echo(dump_config(settings), nl=False)
        if words is not None:
            typer.echo(words, err=True)


def _run_stages(
    file: Path,
    out: Path,
    overrides: Sequence[str] | None,
    executor: str,
    until: str | None,
    qm_from: Sequence[Path] | None,
    **options: Any,
) -> None:
    """Run a workflow up to a stage, print its errors, and end with exit code 3 if calculations failed."""
    from hamlearn.config import load_config

    settings = load_config(file, overrides or ())
    from hamlearn import workflow

    options = {"shard": None, "retry_failed": False, "qm_from": qm_from or (), **options}
    result = workflow.run(settings, out, executor=executor, until=until, echo=typer.echo, **options)
    if result.results is not None:
        print_errors(result.results)
        list_doubtful(result.results.get("doubtful_states") or {})
    if result.report is not None:
        typer.echo(f"report: {result.report}")
    list_failures(result.failures)


def _print_run(folder: Path) -> None:
    """Print the errors a finished run holds; nothing is computed."""
    from hamlearn.report.run_texts import read_results

    if not (folder / "config.yaml").exists():
        raise ArtifactError(
            f"{folder} holds no run (config.yaml is missing); give a run folder, or a model folder with STRUCTURES"
        )
    if not (folder / "results.json").exists():
        raise ArtifactError(f"{folder} is not finished; hamlearn run FILE -o {folder}")
    results = read_results(folder)
    print_errors(results)
    list_doubtful(results.get("doubtful_states") or {})
    list_failures(results.get("failures") or {})
