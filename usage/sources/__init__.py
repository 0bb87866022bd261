"""What other systems say about usage, read into the words of this one: proxies' callbacks, upstreams' lists and bills."""
