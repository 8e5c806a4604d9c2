"""The simulated bank's front end: it acts on our payments as a bank would, on real sockets and real TLS."""
