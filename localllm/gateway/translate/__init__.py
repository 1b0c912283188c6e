"""What the other APIs mean in chat completions, and back, on every engine. Pure; sends nothing."""
