"""The journal: what is written here happened, and nothing happens that is not written here first."""
