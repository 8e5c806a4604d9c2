"""Backup and restore of the journal."""
