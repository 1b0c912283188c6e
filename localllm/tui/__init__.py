"""What you see: the screen. A client of the control API alone; closing it stops nothing."""
