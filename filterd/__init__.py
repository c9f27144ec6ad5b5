"""A gateway filter for email and SMS that learns from what people report."""

__version__ = "0.1.0"
