"""The text of a file: decompressed, decoded, with or without byte order mark and of any line ends."""

from __future__ import annotations

import codecs
from pathlib import Path

from ase.io.formats import open_with_compression

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def text_of(path: Path) -> str:
    """Return the text of a file, compressed or not; what is no UTF-8 is read as Latin-1, whatever the locale."""
    with open_with_compression(str(path), "rb") as file:
        content = file.read()
    return decoded(content)


def decoded(content: bytes) -> str:
    """Return bytes as text with line ends of one kind."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def has_mark(path: Path) -> bool:
    """Return whether a file begins with a byte order mark."""
    with open_with_compression(str(path), "rb") as file:
        start = file.read(4)
    return any(start.startswith(mark) for mark, _ in _MARKS)
