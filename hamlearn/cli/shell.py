"""The program around the verbs: errors as one message and an exit code, warnings, versions."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from hamlearn.errors import ConfigError, HamlearnError, HamlearnWarning

MACHINE_ERRORS = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG),
)
"""Errors of the operating system that the user can do something about."""

COMPILED = ("_bilinear", "_bonds", "_integrals", "_monomials", "_rolls", "_turns")
"""Extensions of hamlearn.o3."""
NARROW_LOCALE = "error: the locale has no name for the file {!a} (it knows {}); set PYTHONUTF8=1 or LC_ALL=C.UTF-8"


class _Verbs(TyperGroup):
    """Turns every error a user can cause into one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HamlearnError as error:
            message, code = f"error: {error}", error.exit_code
        except KeyboardInterrupt:
            message, code = "interrupted; run the same command again to continue", 130
        except UnicodeEncodeError as error:
            if error.encoding != sys.getfilesystemencoding():
                raise
            message, code = NARROW_LOCALE.format(error.object, error.encoding), ConfigError.exit_code
        except OSError as error:
            if error.errno not in MACHINE_ERRORS:
                raise
            message, code = f"error: {error.filename}: {error.strerror}", ConfigError.exit_code
        typer.echo(message, err=True)
        raise typer.Exit(code)


class _Output:
    """A stream whose reader may leave (``| head``): the work goes on, unheard."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, if anybody reads."""
        self._unless_gone(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Send what was written, if anybody reads."""
        self._unless_gone(self._stream.flush)

    def _unless_gone(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


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

    sys.stdout, sys.stderr = (stream and _Output(stream) for stream in (sys.stdout, sys.stderr))
    python_way = warnings.showwarning
    warnings.showwarning = show
    app()


def _print_versions(wanted: bool) -> None:
    if wanted:
        from hamlearn.config import installed_versions

        for name, version in installed_versions().items():
            typer.echo(f"{name} {version}")
        typer.echo(f"compiled loops: {_compiled_loops()}")
        raise typer.Exit


def _compiled_loops() -> str:
    """Tell which extensions were built; the wheel of an installation without a compiler bears the same name."""
    folder = Path(__file__).parents[1] / "o3"
    built = [name for name in COMPILED if any(folder.glob(f"{name}*.so")) or any(folder.glob(f"{name}*.pyd"))]
    return f"{len(built)} of {len(COMPILED)}"


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_versions, is_eager=True, help="print versions and exit")
    ] = False,
) -> None:
    """Learn molecular Hamiltonians with exact symmetry: Fock matrices, spectra and gaps from geometries."""
