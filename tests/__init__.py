"""The tests of bankgw. Folders mirror `gateway` and `protocols`; `world` holds what tests run in."""
