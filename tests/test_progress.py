"""What a long job says."""

import sys

import pytest

import hamlearn.progress as module
from hamlearn.progress import Progress, duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.2, "59 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_lines_come_no_oftener_than_every_ten_seconds(monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    lines = []
    with Progress("work", 12, lines.append) as progress:
        for i in range(12):
            progress.advance(failed=i == 1)
    assert 3 <= len(lines) <= 7
    assert lines[0].startswith("work: ")
    assert "of 12 done, 1 failed in" in lines[0]
    assert "left" in lines[0]
    assert lines[-1].startswith("work: 12 of 12 done, 1 failed in")
    assert "left" not in lines[-1]


def test_silence_when_nobody_listens_or_nothing_is_to_do(capsys):
    with Progress("work", 2, None) as progress:
        progress.advance()
    lines = []
    with Progress("work", 0, lines.append):
        pass
    assert lines == []
    assert capsys.readouterr() == ("", "")


def test_terminal_gets_a_bar_and_the_last_line(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    lines = []
    with Progress("work", 2, lines.append) as progress:
        assert progress.bar is not None
        progress.advance()
        progress.advance(failed=True)
    assert len(lines) == 1
    assert lines[0].startswith("work: 2 of 2 done, 1 failed")
