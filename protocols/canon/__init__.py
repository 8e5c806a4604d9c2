"""The types that all other packages share: frozen values, standard library only."""
