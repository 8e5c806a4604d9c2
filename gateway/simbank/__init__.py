"""The simulated bank front end: what a bank would do with our payments, on real sockets and real TLS."""
