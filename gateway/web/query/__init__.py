"""The query process: reads the journal for the web console, so that its users never load the daemon."""
