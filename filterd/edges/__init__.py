"""One module or folder per protocol that messages come in by."""
