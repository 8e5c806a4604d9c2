"""ISO 20022 between ERP and gateway: pain.001 and pain.008 as commands, and their outcomes as pain.002 and camt.05x.

The root element decides: a body whose root is `Document` of ISO 20022 is read here, whatever the form of the command
is.
"""
