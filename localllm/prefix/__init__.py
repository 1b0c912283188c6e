"""Which prompts stay warm: where each is held, and what of it outlives its engine. Never reads what a prompt says, never asks for a model."""
