"""Layout: which values of a channels-last target have their channels last, and the rewrite that makes it so."""
