"""The whole jobs platform on one machine, out of real parts: API, broker, workers, chain, relayer, metering."""
