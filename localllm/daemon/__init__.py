"""THE DAEMON: the composition root, the only place where the parts are put together.

parts.py builds them, running.py runs them in one task group, and `python -m localllm.daemon` runs in
the foreground; the CLI detaches it. It decides nothing itself.
"""
