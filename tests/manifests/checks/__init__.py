"""One module for each kind of check. Those of policy are functions of what was rendered, so that
`broken.py` can show each of them something that it must not let pass."""
