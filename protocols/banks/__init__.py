"""The banks: each folder is one bank's language, and nothing here imports another of them."""
