"""The commands of `bankgw`: one file per verb, or per noun with its verbs. Imports of large modules are inside the
functions.
"""
