"""The tests of bankgw. Folders mirror `gateway` and `protocols`; `world` holds the simulated environment of the tests."""
