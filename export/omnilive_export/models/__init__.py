"""The three models of the family: config.json and tensor names in, specs and weights out."""
