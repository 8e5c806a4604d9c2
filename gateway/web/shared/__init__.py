"""The parts that the console and the approval page share: asking the gateway, protection of requests, languages.

The two are processes of their own and trust each other in nothing; only this code is the same.
"""
