"""May this request reach an engine, and what must the gateway know of it? Pure; answers nothing."""
