"""Hands messages on: SMTP to the next hop, HTTP to a customer."""
