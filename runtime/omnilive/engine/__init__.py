"""The engine pack: opened, checked, and run behind one interface."""
