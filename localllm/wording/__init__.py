"""What a view says in words and figures, the same in a shell and on the screen. Never colours, columns, or asks."""
