"""An ERP's commands and questions about payments, and the replies."""
