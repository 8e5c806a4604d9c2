"""The approval page: the only page where a browser decides about payments. It is its own process at its own origin.

It shows the words made from the very bytes whose digest a passkey signs. The console cannot use these passkeys.
"""
