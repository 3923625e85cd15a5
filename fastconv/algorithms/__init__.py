"""One file an algorithm: refusal, configuration, cost, bounds and three passes, without loops."""
