"""The program around the verbs: errors as one message and an exit code, warnings, versions."""

from __future__ import annotations

import errno
import os
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hamlearn.errors import ConfigError, HamlearnError, HamlearnWarning

MACHINE_ERRORS = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG),
)
"""Errors of the operating system that the user can do something about."""


class _Verbs(TyperGroup):
    """Turns every error a user can cause into one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HamlearnError as error:
            message, code = f"error: {error}", error.exit_code
        except KeyboardInterrupt:
            message, code = "interrupted; run the same command again to continue", 130
        except OSError as error:
            if error.errno not in MACHINE_ERRORS:
                raise
            message, code = f"error: {error.filename}: {error.strerror}", ConfigError.exit_code
        typer.echo(message, err=True)
        raise typer.Exit(code)


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Learn molecular Hamiltonians with exact symmetry: Fock matrices, spectra and gaps from geometries.",
    epilog="Example: hamlearn run workflows/water.yaml -o runs/water",
)


def main() -> None:
    """Entry point of the console script."""
    # threads that wait for each other must not burn the cores other processes need; read when torch loads
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, HamlearnWarning):
            typer.echo(f"warning: {message}", err=True)
        else:
            python_way(message, category, *where, **more)

    python_way = warnings.showwarning
    warnings.showwarning = show
    app()


def _print_versions(wanted: bool) -> None:
    if wanted:
        from hamlearn.config import installed_versions

        for name, version in installed_versions().items():
            typer.echo(f"{name} {version}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_versions, is_eager=True, help="print versions and exit")
    ] = False,
) -> None:
    """Learn molecular Hamiltonians with exact symmetry: Fock matrices, spectra and gaps from geometries."""
