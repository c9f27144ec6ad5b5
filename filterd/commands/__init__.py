"""One module per command of ``filterd``; ``cli.py`` puts them together."""
