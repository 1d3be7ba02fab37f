"""Which versions of the program work together: levels, the one in force, and the word that raises it."""
