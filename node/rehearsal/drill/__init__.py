"""The drill: faults on a living cluster under synthetic mail, judged from outside, with a report."""
