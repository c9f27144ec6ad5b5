"""SMTP client for the next hop."""
