"""Every language the gateway speaks: the ERP's and each bank's. Pure: bytes to words and back."""
