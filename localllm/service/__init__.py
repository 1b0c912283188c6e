"""How localllm starts with the machine: a systemd user unit, or a launchd agent.

Two sides that meet in the variables which systemd gives a service: one writes the service's file
and asks the system to run it, the other is used by the daemon to say how it is. It never asks the
daemon, and never decides what is served.
"""
