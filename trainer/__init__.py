"""Turns corpora and feedback into model bundles."""
