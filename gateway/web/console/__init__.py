"""The web console: pages for finance, operators and bank engineers.

It is not trusted: it has no key, no journal and no right of its own, only the sessions of the persons at their
browsers, and it can release nothing.
"""
