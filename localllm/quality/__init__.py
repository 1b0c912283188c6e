"""How good is a model, as it is served here? Asks through a voice that it is given; starts, loads and stops nothing, and opens no connection."""
