"""Layout: which values of a channels-last target are stored with their channels last, and the rewrite that says so."""
