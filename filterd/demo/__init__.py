"""Shows the daemon at work on embedded defaults, with a mail sink and a customer's URL of its own."""
