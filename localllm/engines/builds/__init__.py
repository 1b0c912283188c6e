"""Where engines come from: which builds fit a machine, how they are fetched, proved and kept side by side. Serves nothing."""
