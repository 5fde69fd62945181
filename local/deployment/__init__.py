"""Deployment to AWS, and the way back: what the scripts of `scripts/` do, in which order.

Nothing here destroys: see `plan.STATEFUL`. Terraform makes what is asked for; traffic goes over to a new version of a
function step by step, and comes back when an alarm fires.
"""
