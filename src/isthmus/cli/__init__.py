"""The command line: one file a verb, shared argument groups, and ``main``."""
