"""The control API: HTTP with JSON over a UNIX socket, its verbs, and its client."""
