"""Graph builders, one file per graph family. They never read a checkpoint by name."""
