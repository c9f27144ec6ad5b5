"""Filters behind one interface, so that all of them see identical bytes in identical order."""
