"""How it is going: requests, counters, the ledger, captures, traces. Never decides, never keeps a prompt unasked."""
