"""Text for the bilingual model: English verse, prose, plays and speeches, Chinese verse and prose."""
