"""The acts of each subject, one file each. `gateway.control.register` puts them together."""
