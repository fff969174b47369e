"""`python -m tithe`: the command `tithe`."""

from tithe.cli import main

if __name__ == "__main__":
    main()
