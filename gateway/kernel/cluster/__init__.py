"""Several nodes over one journal: lane leases, peer nodes, restored databases, pauses, jobs."""
