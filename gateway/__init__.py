"""Edge for machines: the metering proxy between a customer's client and the upstreams."""
