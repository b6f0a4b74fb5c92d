"""Networks timed in runtimes, in turns, and held against eager float32."""
