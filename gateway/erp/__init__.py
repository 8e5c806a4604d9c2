"""The ERP side: the broker client, its topology, the intake that hands commands to the subjects, and the outbox."""
