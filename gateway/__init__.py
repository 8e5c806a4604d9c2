"""The machine that carries the words between an ERP and its banks."""
