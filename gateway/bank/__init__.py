"""The connection to banks: transport, keys, sessions and lanes."""
