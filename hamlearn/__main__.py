"""``python -m hamlearn`` is the command line."""

from hamlearn.cli import main

if __name__ == "__main__":
    main()
