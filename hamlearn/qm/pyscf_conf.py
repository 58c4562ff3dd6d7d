"""The configuration file PySCF is given instead of those it looks for: it changes nothing."""
