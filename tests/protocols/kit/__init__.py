"""The tests of `protocols.kit`, in files of the same names."""
