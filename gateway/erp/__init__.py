"""The ERP side: the broker client, its topology, command intake, questions, and the outbox."""
