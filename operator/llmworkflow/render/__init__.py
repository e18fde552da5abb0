"""From a workflow to what is created for it: configurations of jobs, and manifests.

Pure: no client, no clock.
"""
