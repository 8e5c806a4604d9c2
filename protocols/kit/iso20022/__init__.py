"""ISO 20022 customer messages: pain.001 and pain.008 out, pain.002 and camt.052/053/054 in, and the other way round.

What we write is checked against its schema and refused when it does not fit; what we read is taken as it comes, and
what is odd about it is written down as a finding. Amounts are integer minor units. The element names of the two
families of versions in use (.03/.02 and .09/.08/.12) differ in a handful of places, which `names` holds as data.
"""
