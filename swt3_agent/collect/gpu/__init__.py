"""GPU evidence through NVML, as the driver reports it: inventory, interconnect and health.

Reading (reader.py, in a child process), rules (topology.py, health.py: pure) and orchestration
(collector.py) stand apart. This file imports nothing, so that the child starts quickly.
"""
