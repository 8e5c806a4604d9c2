"""Joint tests (联调): a bank's cases, played through the gateway as an ERP would, with verdicts and evidence."""
