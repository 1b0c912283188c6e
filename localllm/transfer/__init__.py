"""How bytes get here: one file by its address, resumed, hashed as it is written. Knows no hub and no engine, and decides nothing about what to fetch."""
