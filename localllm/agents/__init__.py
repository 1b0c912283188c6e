"""How is each agent pointed at our endpoint, and what does its settings file become?

Reads profiles/agents; never asks the daemon, never writes outside the files it is handed.
"""
