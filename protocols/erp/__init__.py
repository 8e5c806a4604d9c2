"""The ERP's language: reads commands from JSON or XML into canon's types, and writes replies and events."""
