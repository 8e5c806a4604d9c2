"""Treasury: the finance department's view of accounts. It reads the journal and sends commands; it edits no payment."""
