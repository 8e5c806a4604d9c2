"""Scripts that make a bare machine ready. They run before anything is installed: standard library and shell only."""
