"""`python -m hpe_bench`: the command line without the console script."""

from hpe_bench.cli import main

if __name__ == "__main__":
    main()
