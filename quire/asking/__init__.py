"""What is asked for: fields with their ranges, requests for jobs, and what becomes of them before they are queued.

The API and the scheduler share it: a schedule's batches are made of templates long after these were sent.
"""
