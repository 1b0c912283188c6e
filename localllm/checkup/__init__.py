"""WHAT IS WRONG HERE, why that matters, and what mends it. It changes nothing but by `fixing`, and never asks the daemon's parts."""
