"""The approval page: the only page where a browser decides about payments. It is its own process at its own origin.

It shows the text made from the bytes whose digest a passkey signs. The console cannot use these passkeys.
"""
