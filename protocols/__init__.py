"""Every language of the gateway: the ERP's and each bank's, as pure functions between bytes and values."""
