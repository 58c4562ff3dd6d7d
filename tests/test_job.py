"""A job says where and how loudly work is done."""

from concurrent.futures import Executor
from dataclasses import FrozenInstanceError, fields

import pytest

from hamlearn.errors import ConfigError
from hamlearn.job import Job


def test_defaults_are_silent_and_serial(capsys):
    job = Job()
    assert {field.name: getattr(job, field.name) for field in fields(Job)} == {
        "echo": None,
        "executor": "serial",
        "scratch": None,
        "label": "fit",
    }
    job.say("nothing")
    with job.progress("nothing", 2) as progress:
        progress.advance()
    assert capsys.readouterr() == ("", "")
    with pytest.raises(FrozenInstanceError):
        job.executor = "local"


def test_lines_and_progress_go_to_the_echo():
    lines = []
    job = Job(echo=lines.append)
    job.say("begun")
    with job.progress("molecules", 2) as progress:
        progress.advance(count=2)
    assert lines[0] == "begun" and lines[1].startswith("fit, molecules: 2 of 2 done")


@pytest.mark.parametrize(("label", "begins"), [("curve", "curve, molecules: "), ("", "molecules: ")])
def test_a_label_begins_the_lines_of_progress_alone(label, begins, tmp_path):
    lines = []
    job = Job(lines.append, "local:1", tmp_path)
    other = job.called(label)
    assert (other.executor, other.scratch, job.label) == ("local:1", tmp_path, "fit")
    other.say("as it is")
    with other.progress("molecules", 1) as progress:
        progress.advance()
    assert lines[0] == "as it is" and lines[1].startswith(begins)


def test_the_executor_runs_tasks():
    with Job(executor="local:1").open_executor() as executor:
        assert isinstance(executor, Executor) and list(executor.map(abs, [-1, 2])) == [1, 2]
    with pytest.raises(ConfigError, match="executor 'cloud' is not known"):
        Job(executor="cloud").open_executor()
