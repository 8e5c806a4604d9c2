"""People: persons, roles, scopes, delegations, factors, sessions and sign-in."""
