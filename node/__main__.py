"""``python -m node`` is ``startalk``."""

from node.cli import main

if __name__ == "__main__":
    main()
