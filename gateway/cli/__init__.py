"""`bankgw`: the command line."""
