"""What share of events was good in a month: objectives, the budget of bad ones that is left, and what used it up."""
