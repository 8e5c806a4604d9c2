"""The version of this program, in a file of its own, so that `bankgw --version` need not load the gateway."""

VERSION = "0.2.0"
