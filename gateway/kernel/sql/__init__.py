"""The database underneath the journal: connections, column types, tables, sealing, migrations."""
