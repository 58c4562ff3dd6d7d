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
        progress.advance()
        progress.advance(failed=True)
    assert "work" in capsys.readouterr().err
    assert len(lines) == 1
    assert lines[0].startswith("work: 2 of 2 done, 1 failed")


def test_the_rest_takes_as_long_as_it_costs(monkeypatch):
    """One cheap item of three, then the dear one: 10 s for 10 % of the work leave 90 s."""
    monkeypatch.setattr(module.time, "monotonic", lambda: 0.0)
    progress = Progress("fits", [1.0, 8.0, 1.0], print)
    progress.advance()
    assert progress.fraction == pytest.approx(0.1)
    monkeypatch.setattr(module.time, "monotonic", lambda: 10.0)
    assert progress.line() == "fits: 1 of 3 done, 10 % of the work, in 10 s, about 1 min 30 s left"
    progress.advance(items=[2])
    assert progress.fraction == pytest.approx(0.2)
    progress.advance(items=[1], failed=True)
    assert progress.line() == "fits: 3 of 3 done, 1 failed in 10 s"


@pytest.mark.parametrize("items", [3, [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
def test_like_items_count_alike_and_nothing_passes_the_end(items):
    progress = Progress("work", items, None)
    progress.advance(count=2)
    assert progress.fraction == pytest.approx(2 / 3)
    progress.advance(count=5)
    assert (progress.done, progress.fraction) == (3, 1.0)


def test_a_notebook_gets_one_line_that_renews_itself(monkeypatch, capsys):
    """Without IPython and without widgets: the line is written over, the last one is told."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    monkeypatch.setattr(module, "SECONDS_IN_A_NOTEBOOK", 0.0)
    lines = []
    with Progress("work", [1, 3], lines.append) as progress:
        progress.advance()
        progress.advance()
    shown = capsys.readouterr().out
    assert shown.startswith("\rwork: 1 of 2 done, 25 % of the work,") and "\n" not in shown
    assert len(lines) == 1 and lines[0].startswith("work: 2 of 2 done")
