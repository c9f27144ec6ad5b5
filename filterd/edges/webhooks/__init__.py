"""One file per SMS provider."""
