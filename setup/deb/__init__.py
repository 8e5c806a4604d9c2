"""What builds the Debian package."""
