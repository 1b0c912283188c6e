"""How the screen gets into a browser of this machine. Never draws it, and never asks the daemon."""
