"""What bank adapters share: framing, HTTP, charsets, XML, signatures, options, code tables, orders, paging."""
