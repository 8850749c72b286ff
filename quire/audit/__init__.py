"""`quire audit`: proves that the books are right. It reads one moment of the database, and changes nothing."""
