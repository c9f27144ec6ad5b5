"""Migrations of the store, run by ``filterd.store.migrate``."""
