"""How many labels each method needs: data sets x labels per class x draws x methods.

See ``__main__`` for the command.
"""
