"""The commands of `bankgw`, one file a noun."""
