"""What is timed. Each module has one idea; each function takes a scene and the stopwatch that takes its runs.

A run's name has four parts: workload, size of the clinic, what is asked for, under which condition.
"""
