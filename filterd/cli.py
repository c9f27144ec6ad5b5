"""The command line: puts the commands together, contains no logic."""
