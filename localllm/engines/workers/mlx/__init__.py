"""mlx-lm behind HTTP, in the child."""
