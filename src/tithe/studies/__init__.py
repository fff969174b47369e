"""Published claims, measured again: each a script over the library that says whether its claim holds."""
