"""`python -m phase_lib.cli`: the command line of this interpreter's environment."""

from phase_lib.cli import main

if __name__ == "__main__":
    main()
