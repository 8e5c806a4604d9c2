"""The signer process: it alone holds the bank signing keys, and signs only what it has judged itself.

It reads the outgoing message back, compares it with the journal's sealed rows, which it opens for reading only, applies
ceilings of its own, and writes each signature into a log of its own (docs/adr/0049-a-signer-that-reads.md).
"""
