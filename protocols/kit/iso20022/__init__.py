"""ISO 20022 customer messages: pain.001 and pain.008 out, pain.002 and camt.052/053/054 in, and the other way round.

Written messages are checked against their schema and refused if they do not fit. Received messages are read as they
are, and their oddities become findings. Amounts are integer minor units. The element names of the two families of
versions in use (.03/.02 and .09/.08/.12) differ in a few places, which `names` has as data.
"""
