"""Starts, restarts, drains and reloads workers; owns signals and the admin port."""
