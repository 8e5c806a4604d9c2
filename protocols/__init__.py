"""Every language the gateway speaks: the ERP's and each bank's, as pure functions between bytes and values."""
