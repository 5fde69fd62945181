"""The page *Indexes*: what is live, how far it can be trusted, and what an operator may do next. It only reads."""
