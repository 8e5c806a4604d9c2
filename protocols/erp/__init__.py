"""The ERP's language: commands read from JSON or XML into canon words, replies and events written."""
