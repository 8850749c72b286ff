"""The routes that the OpenAI clients know, on the same jobs as all others.

schemas.py: what may be sent; answers.py: what is sent back; orders.py: from a request to its jobs; attending.py:
waiting for jobs, and giving them up; completing.py: from jobs and events to answers.
"""
