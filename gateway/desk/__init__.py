"""Where people meet the daemon: the control API over a UNIX socket, and the command line."""
