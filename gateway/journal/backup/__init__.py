"""A copy of the journal and the way back."""
