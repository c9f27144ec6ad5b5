"""Reported near-duplicates."""
