"""What the API and the workers both know of tunes: styles, meters, keys, and the grammar of a tune in ABC."""
