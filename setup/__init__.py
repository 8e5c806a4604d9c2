"""Scripts that make a bare machine ready.

They run before anything is installed, so they use nothing but the shell and Python's standard library.
"""
