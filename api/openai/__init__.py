"""The routes that the OpenAI clients know, on the same jobs and batches as all others.

schemas.py: what may be sent; answers.py: what is sent back; orders.py: from a request to its jobs; attending.py:
waiting for jobs, and giving them up; completing.py, responding.py: from jobs and events to answers; receiving.py,
storing.py: files; batch_lines.py: the lines of a batch; batching.py, batch_files.py: batches, and what they wrote.
"""
