"""Settings that a workflow leaves out, chosen for its molecules before anything is computed, and what a run will take.

facts and sampling measure, rules choose, costs estimate, choosing puts them together; each rule is a function from what
is known of the molecules to a choice and why.
"""

CONFIG = "config.yaml"
"""Settings of a run, in its folder."""
