"""The parts that the console and the approval page share: asking the gateway, protection of requests, languages.

The two are separate processes and do not trust each other; they only share this code.
"""
