"""What the pages ask: of one customer (`customers`), and of the catalog for everybody (`storefront`)."""
