"""The common base of all subjects: decisions, database, commit, cluster, checkpoints, backup, clock, log, metrics."""
