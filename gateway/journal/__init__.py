"""The journal: the database of payments, events, evidence and audit. Everything is committed here before it is done."""
