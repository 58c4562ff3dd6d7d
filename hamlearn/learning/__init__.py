"""From representations and labels to fitted blocks: groups of blocks, domain, active sets, choice, learners."""
