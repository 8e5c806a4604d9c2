"""The fault campaign: the real daemon between a real broker and simulated banks, with kills, network and other faults.

`make faults SEED=1 MINUTES=10` runs it. It ends by holding the banks' ledgers, the journal and what the ERP heard
against each other, line by line.
"""
