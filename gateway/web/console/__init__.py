"""The web console: pages for finance, operators and bank engineers.

It is not trusted: it holds no key, no journal and no right, only the sessions of the persons at their browsers, and can
release nothing.
"""
