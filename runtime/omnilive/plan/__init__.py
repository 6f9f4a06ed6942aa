"""The plan of a pack: what it will need of memory and time, told before anything is loaded."""
