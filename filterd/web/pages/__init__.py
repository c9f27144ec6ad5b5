"""The pages for people, one module per thing they are about."""
