"""How int4 blocks are chosen: methods, activation statistics, and work kept for a killed build."""
