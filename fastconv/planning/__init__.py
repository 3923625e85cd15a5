"""Which way: from a problem to the plan that runs.

registry.py     the table of backends: algorithms on engines
planner.py      named, tuned or cheapest; why not the others
search.py       the cheapest of several, without working out what cannot win
rows.py         a line of `explain`
layouts.py      the problem as a backend sees it: borders, channels, halves
plan.py         a backend with its configuration, ready to run
rates.py        what this machine can do, for the cost model
tuning.py       measured winners, in a file
explain.py      the planner's table for a reader
tune_verify.py  measure every backend; compare every backend with an oracle
config.py       what is in use here
"""
