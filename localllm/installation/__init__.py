"""HOW THIS PROGRAM CAME HERE, and how another version takes its place. It starts and ends no daemon."""
