"""The web side: the console, the approval page, the query process, and their shared parts."""
