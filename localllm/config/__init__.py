"""WHAT THE USER WANTS: config.toml, its schema and where each value came from. editing.py alone writes it."""
