"""The PyTorch writer: a hub becomes a tree of modules, a program, or readable source."""
