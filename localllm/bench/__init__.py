"""How fast is what is served, as whoever asks it sees it? Never looks into the daemon: it is a client like others."""
