"""The ERP's commands and questions about its books."""
