"""Pure rules about statements: reading the files that banks and ERPs write."""
