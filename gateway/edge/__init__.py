"""The metering proxy: raw ASGI in, aiohttp out, money in between. `app` is the application."""
