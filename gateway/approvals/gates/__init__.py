"""The rules of the gate about approvals."""
