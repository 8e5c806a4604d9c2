"""The register: the settings of accounts, banks, senders, calendars and terms."""
