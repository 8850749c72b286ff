"""What the guards of books do against loops: the same books with each of them, and what the texts are like."""
