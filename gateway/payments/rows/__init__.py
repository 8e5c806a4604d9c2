"""A payment's life in the journal: admission, transitions, limits, events, batches, retention."""
