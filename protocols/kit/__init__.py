"""The shared parts of bank adapters: framing, HTTP, charsets, XML, signatures, options, code tables, orders, paging."""
