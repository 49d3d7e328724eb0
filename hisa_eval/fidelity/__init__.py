"""How much of flat DSA's own selection another selection keeps."""
