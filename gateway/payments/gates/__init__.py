"""The rules of the gate about a payment itself, one file each, and the facts that the lists are asked about."""
