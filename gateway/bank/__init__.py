"""Banks: the machine that carries words to them. Transport, keys, sessions, lanes."""
