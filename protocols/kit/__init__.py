"""Parts a bank picks from: framing, charset, XML, signatures, code tables, fields, paging, HTTP words."""
