"""What can be known of a text: words, lines, n-grams and hashes, each computed once, in machine code where it pays."""
