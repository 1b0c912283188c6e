"""ONE THING LOOKED AT per file: each takes what is known and gives findings. None of them changes anything."""
