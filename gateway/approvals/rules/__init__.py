"""Pure rules about approvals: bands, policy, seats, digest and the text that is signed."""
