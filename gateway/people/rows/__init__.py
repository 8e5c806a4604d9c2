"""People in the journal: persons, delegations, factors, sign-outs, and proposals that need two persons."""
