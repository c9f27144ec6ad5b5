"""The database: verdicts, held messages, feedback, SMS, tokens."""
