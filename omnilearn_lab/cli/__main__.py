"""``python -m omnilearn_lab.cli``: the command line, for torchrun and other starters of modules."""

from omnilearn_lab.cli import main

if __name__ == "__main__":
    main()
