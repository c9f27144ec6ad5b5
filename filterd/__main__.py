"""``python -m filterd`` is ``filterd``."""

from filterd.cli import main

if __name__ == "__main__":
    main()
