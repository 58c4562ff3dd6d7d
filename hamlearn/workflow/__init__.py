"""The stages of ``hamlearn run``: each reads what the stage before wrote, and is skipped when it is already there."""

from hamlearn.workflow.evaluate import evaluate as evaluate
from hamlearn.workflow.predict import predict as predict
from hamlearn.workflow.run import RunResult as RunResult
from hamlearn.workflow.run import run as run
