"""The tests of `protocols`, in folders of the same names."""
