"""Scanner processes: hostile bytes are parsed and scored here, under limits."""
