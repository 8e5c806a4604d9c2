"""`bankgw demo`, and the temporary site that the benchmark, the fault campaign and the interoperability tests use."""
