"""`python -m noisetune`: the command line, where no `noisetune` is on the path."""

from noisetune.cli import main

if __name__ == "__main__":
    main()
