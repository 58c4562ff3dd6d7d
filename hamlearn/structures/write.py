"""Write structures so that ASE reads back all they say."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import ase.io
from ase import Atoms

from hamlearn.artifacts import written_atomically


def write_extxyz(path: Path, structures: Iterable[Atoms]) -> None:
    """Write an extended XYZ file, whole or not at all.

    ASE's writer leaves texts as they are that its reader then takes for something else: after an empty one, or one
    that ends in '=', the next key is lost; backslashes are, and line ends break the frame. Here texts are quoted, line
    ends become spaces, and empty texts and None, for which the format has no words, are left out.

    Args:
        path: file to write.
        structures: positions in Å.
    """
    with written_atomically(path) as temporary:
        temporary.write_text("".join(_frame(atoms) for atoms in structures), encoding="utf-8")


def _frame(atoms: Atoms) -> str:
    quoted: dict[str, str] = {}
    copy = atoms.copy()
    copy.calc = atoms.calc
    copy.info = {}
    for key, value in atoms.info.items():
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        name = _kept(str(key), quoted) if set(str(key)) & set("=\\\n\"'{}[] ") else key
        copy.info[name] = _kept(value, quoted) if isinstance(value, str) else value
    text = io.StringIO()
    ase.io.write(text, copy, format="extxyz")
    count, comment, rows = text.getvalue().split("\n", 2)
    for place, words in quoted.items():
        comment = comment.replace(place, words)
    return f"{count}\n{comment}\n{rows}"


def _kept(text: str, quoted: dict[str, str]) -> str:
    """Return a word that stands for a text until ASE has written it, or the text itself where ASE writes it right."""
    if not (set(text) & set("=\\\r\n\"'{}[]")):
        return text
    place = f"hamlearn-text-{len(quoted)}-"
    escaped = " ".join(text.splitlines()).replace("\\", "\\\\").replace('"', '\\"')
    quoted[place] = f'"{escaped}"'
    return place
