"""Verifies DKIM signatures: keys from DNS."""
