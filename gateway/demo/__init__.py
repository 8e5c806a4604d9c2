"""`bankgw demo` and the throw-away site that bench, faults and interop stand on."""
