"""The commands of `bankgw`: one file per verb, or per noun with its verbs. Heavy imports stand inside the functions."""
