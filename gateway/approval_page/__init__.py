"""The approval page: the one place where a browser decides about payments. Its own process at its own origin.

It shows the words made from the very bytes whose digest a passkey signs. The console cannot use these passkeys.
"""
