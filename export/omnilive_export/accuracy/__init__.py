"""How far a pack's engines are from a reference: arithmetic on what both gave."""
