"""Handlers of the acts over all subjects: work lists and reports."""
