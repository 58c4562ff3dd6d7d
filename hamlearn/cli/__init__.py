"""The command line."""

import hamlearn.cli.verbs  # noqa: F401  registers them with the program
from hamlearn.cli.shell import app as app
from hamlearn.cli.shell import main as main
