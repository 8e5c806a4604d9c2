"""The version of this program. Apart from everything else, so that `bankgw --version` need not load the gateway."""

VERSION = "0.1.0"
