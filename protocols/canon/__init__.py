"""The one vocabulary every other part speaks: frozen values, standard library only."""
