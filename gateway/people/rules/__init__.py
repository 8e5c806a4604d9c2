"""Pure rules about people: roles, scopes, the matrix of verbs, delegation, factors, sessions."""
