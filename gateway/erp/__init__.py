"""The ERP edge: the broker client, its topology, what comes in from and goes out to ERP systems."""
