"""ISO 20022 towards the ERP: pain.001 and pain.008 as commands, and what became of them as pain.002 and camt.05x.

The root element decides: a body whose root is `Document` of ISO 20022 is read here, whatever else the command's form.
"""
